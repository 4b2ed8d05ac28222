"""The language model, its initialisation, its carried state, its two measures and sampling."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rnnlib import decode, metrics
from rnnlib.nets import init, state
from rnnlib.nets.language_model import LanguageModel, next_loss


def model(seed=0, V=7, H=6, **options):
    torch.manual_seed(seed)
    return LanguageModel(V, H, **options)


def tokens(*shape, V=7, seed=1):
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_stream_may_be_cut_anywhere(cell, layers):
    net, ids = model(cell=cell, layers=layers, dropout=0.3).eval(), tokens(3, 20)
    whole, last = net(ids)
    carried, parts = None, []
    for part in ids.split([1, 7, 12], dim=1):
        logits, carried = net(part, carried)
        parts.append(logits)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-6)
    assert torch.allclose(carried[0], last[0], atol=1e-6)


def test_only_the_past_counts():
    net, ids = model().eval(), tokens(1, 12)
    changed = ids.clone()
    changed[0, 8] = (changed[0, 8] + 1) % 7
    different = (net(ids)[0] != net(changed)[0]).any(-1)[0]
    assert not different[:8].any()
    assert different[8:].all()


def test_tied_weights_are_one_matrix():
    net = model(tied=True)
    assert net.readout.weight is net.embedding.weight
    assert (
        sum(p.numel() for p in net.parameters())
        == sum(p.numel() for p in model().parameters()) - 7 * 6
    )


def test_dropout_acts_in_training_alone():
    net, ids = model(dropout=0.5), tokens(2, 5)
    assert not torch.equal(net(ids)[0], net(ids)[0])
    net.eval()
    assert torch.equal(net(ids)[0], net(ids)[0])


@pytest.mark.parametrize("projection", [0, 3])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_initialisation(kind, projection):
    options = {"proj_size": projection} if projection and kind is nn.LSTM else {}
    H = 8
    module = init.recurrent_(kind(5, H, 2, bidirectional=True, **options), forget_bias=1.5)
    for name, weight in module.named_parameters():
        gates = weight.split(H)
        if name.startswith("weight_hh"):
            for gate in gates:
                assert torch.allclose(gate.T @ gate, torch.eye(gate.shape[1]), atol=1e-5)
        elif name.startswith("weight_ih"):
            bound = (6 / (H + weight.shape[1])) ** 0.5
            for gate in gates:
                assert 0.7 * bound < gate.abs().max() <= bound
        elif name.startswith("bias"):
            expected = torch.zeros_like(weight)
            if kind is nn.LSTM and name.startswith("bias_ih"):
                expected[H : 2 * H] = 1.5
            assert torch.equal(weight, expected)


def test_states_are_reset_where_asked_and_cut_from_their_graph():
    h = torch.ones(2, 3, 4, requires_grad=True)
    mask = torch.tensor([True, False, True])
    new = state.reset((h, h * 2), mask)
    assert torch.equal(new[1][:, 1], torch.full((2, 4), 2.0))
    assert not new[1][:, ::2].any()
    assert new[0].requires_grad
    assert not state.detach(new)[0].requires_grad
    assert state.reset(None, mask) is None
    with pytest.raises(ValueError, match=r"mask of shape \(B=3,\), got \(2,\)"):
        state.reset(h, mask[:2])


def test_the_loss_is_the_mean_nats_of_the_next_token():
    net, ids = model(V=5), tokens(2, 9, V=5)
    batch = ids[:, :-1], ids[:, 1:], torch.tensor([True, False])
    _, carried = net(tokens(2, 4, V=5, seed=2))
    loss, _ = next_loss(net, batch, carried)
    start = tuple(part * torch.tensor([0.0, 1.0])[None, :, None] for part in carried)
    p = net(batch[0], start)[0].softmax(-1).gather(-1, batch[1][..., None])
    assert torch.allclose(loss, -p.log().mean())


def test_the_stream_measure_carries_the_state_and_the_block_measure_does_not():
    net, ids = model(dropout=0.4), tokens(300)
    net.eval()
    logits = net(ids[None, :-1])[0][0]
    by_hand = F.cross_entropy(logits, ids[1:]).item()
    net.train()
    for chunk in (1, 50, 1000):
        assert metrics.nats_stream(net, ids, chunk=chunk) == pytest.approx(by_hand, rel=1e-6)
    assert net.training
    blocks = metrics.nats_blocks(net, ids, 5, n=3000, B=1000, seed=0)
    net.eval()
    windows = ids.unfold(0, 6, 1)
    every = F.cross_entropy(net(windows[:, :-1])[0].flatten(0, 1), windows[:, 1:].flatten())
    assert blocks == pytest.approx(every.item(), abs=0.02)
    assert abs(blocks - by_hand) > 1e-4


@pytest.mark.parametrize("shape", [(12,), (3, 12)])
def test_sampling_feeds_back_what_it_drew(shape):
    net, prompt = model(), tokens(*shape)
    drawn = decode.sample(net, prompt, 8, temperature=0)
    net.eval()
    ids = prompt[None] if prompt.ndim == 1 else prompt
    for _ in range(8):
        ids = torch.cat([ids, net(ids)[0][:, -1:].argmax(-1)], 1)
    assert torch.equal(drawn.reshape(-1, 8), ids[:, 12:])
    assert drawn.shape == (*shape[:-1], 8)
    assert decode.sample(net, prompt, 0).shape == (*shape[:-1], 0)


def test_sampling_is_repeatable_and_follows_the_probabilities():
    net, prompt = model(), tokens(4)
    draw = lambda seed: decode.sample(  # noqa: E731
        net, prompt.expand(4000, 4), 1, generator=torch.Generator().manual_seed(seed)
    )
    assert torch.equal(draw(3), draw(3))
    frequency = torch.bincount(draw(3)[:, 0], minlength=7) / 4000
    expected = net.eval()(prompt[None])[0][0, -1].softmax(-1)
    assert (frequency - expected).abs().max() < 0.04


def test_temperature_top_k_and_top_p():
    logits = torch.log(torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15]))
    p = decode.probabilities(logits)
    assert torch.allclose(p, logits.exp())
    squared = logits.exp() ** 2
    assert torch.allclose(decode.probabilities(logits, 0.5), squared / squared.sum())
    assert decode.probabilities(logits, 0).tolist() == [0, 1, 0, 0, 0]
    top = decode.probabilities(logits, top_k=2)
    assert torch.allclose(top, torch.tensor([0, 4 / 7, 0, 3 / 7, 0]))
    for share, kept in ((0.39, 1), (0.41, 2), (0.69, 2), (0.71, 3), (1.0, 5)):
        nucleus = decode.probabilities(logits, top_p=share)
        assert (nucleus > 0).sum() == kept
        assert nucleus.sum().item() == pytest.approx(1)
    # After the two likeliest are kept, they hold 4/7 and 3/7: one is enough for 0.5.
    assert (decode.probabilities(logits, top_k=2, top_p=0.5) > 0).sum() == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: model(cell="lstmm"), ValueError, "a cell among rnn, gru, lstm"),
        (lambda: model(E=3, tied=True), ValueError, "tied weights need E = H"),
        (lambda: model()(torch.zeros(2, 3)), TypeError, "integer ids .* one-hot"),
        (lambda: model()(tokens(4)), ValueError, r"ids of shape \(B, T\), got \(4,\)"),
        (
            lambda: model()(tokens(4, 2), model()(tokens(3, 2))[1]),
            ValueError,
            "carried over from a batch of 3",
        ),
        (lambda: init.recurrent_(nn.Linear(2, 2)), TypeError, "nn.LSTM, got Linear"),
        (lambda: metrics.nats_stream(model(), [1]), ValueError, "at least 2 ids"),
        (lambda: metrics.nats_stream(model(), [1, 2], precision="half"), ValueError, "'half'"),
        (lambda: decode.sample(model(), [], 3), ValueError, "a prompt"),
        (lambda: decode.sample(model(), [1], -1), ValueError, "n of at least 0"),
        (lambda: decode.sample(model(), [1], 1, temperature=-1), ValueError, "temperature"),
        (lambda: decode.sample(model(), [1], 1, top_k=8), ValueError, r"top_k in 1..V=7"),
        (lambda: decode.sample(model(), [1], 1, top_p=0.0), ValueError, "top_p above 0"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_bfloat16_changes_the_measure_but_little():
    net, ids = model(H=32), np.arange(200) % 7
    assert metrics.nats_stream(net, ids, precision="bfloat16") == pytest.approx(
        metrics.nats_stream(net, ids), abs=0.02
    )
