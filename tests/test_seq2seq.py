"""Encoder, attention and decoder: right whatever the padding, one step as good as all."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from rnnlib import train
from rnnlib.data.batches import PaddedPairs
from rnnlib.data.vocabulary import BOS, EOS, PAD
from rnnlib.nets import seq2seq
from rnnlib.nets.attention import Attention
from rnnlib.nets.precision import autocast
from rnnlib.nets.readout import linear_cross_entropy
from rnnlib.nets.seq2seq import ATTENTIONS, Seq2Seq

SETTINGS = {
    "attention": st.sampled_from(ATTENTIONS),
    "cell": st.sampled_from(["gru", "lstm", "rnn"]),
    "tied": st.booleans(),
    "feed": st.booleans(),
}
V_SOURCE, V_TARGET = 9, 11


def build(seed=0, H=5, **options):
    torch.manual_seed(seed)
    net = Seq2Seq(V_SOURCE, V_TARGET, H, **options).double().eval()
    nn.init.normal_(net.readout.bias)
    return net


def draw(lengths, V, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.cat([torch.randint(3, V, (n - 1,), generator=generator), torch.tensor([EOS])])
        for n in lengths
    ]


def padded(sequences, extra=0, value=PAD):
    x = pad_sequence(sequences, batch_first=True, padding_value=value)
    return F.pad(x, (0, extra), value=value)


def gradients(net, batch, **options):
    value = seq2seq.loss(net, batch, **options)[0]
    return value, torch.autograd.grad(value, list(net.parameters()))


LENGTHS = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 6)), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(SETTINGS),
    LENGTHS,
    st.integers(0, 3),
    st.integers(0, 8),
    st.integers(0, 9),
)
def test_padding_and_company_change_nothing(options, lengths, extra, filling, seed):
    net = build(seed, **options)
    n, m = (torch.tensor(k) for k in zip(*lengths))
    sources, targets = draw(n, V_SOURCE, seed), draw(m, V_TARGET, seed)
    logits, weights = net(padded(sources, extra, filling), n, padded(targets, extra))
    for b, (source, target) in enumerate(zip(sources, targets)):
        alone, look = net(source[None], n[b : b + 1], target[None])
        close(logits[b, : m[b]], alone[0])
        if weights is not None:
            close(weights[b, : m[b], : n[b]], look[0])
            assert not weights[b, :, n[b] :].any()


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.fixed_dictionaries(SETTINGS), LENGTHS, st.integers(0, 3), st.sampled_from([0.0, 0.1]))
def test_padding_changes_neither_loss_nor_gradients(options, lengths, extra, smoothing):
    net = build(**options)
    n, m = (torch.tensor(k) for k in zip(*lengths))
    sources, targets = draw(n, V_SOURCE), draw(m, V_TARGET)
    batch = padded(sources, extra), n, padded(targets, extra)
    value, found = gradients(net, batch, smoothing=smoothing)
    expected, total = [0] * len(found), 0
    for b, (source, target) in enumerate(zip(sources, targets)):
        share = len(target) / int(m.sum())
        batch = source[None], n[b : b + 1], target[None]
        alone, parts = gradients(net, batch, smoothing=smoothing)
        total = total + share * alone
        expected = [e + share * p for e, p in zip(expected, parts)]
    close(value, total)
    for f, e in zip(found, expected):
        close(f, e)


@settings(max_examples=20, deadline=None)
@given(st.fixed_dictionaries(SETTINGS))
def test_one_step_at_a_time_is_the_same_as_all_at_once(options):
    net, n = build(**options), torch.tensor([4, 2, 5])
    source, target = padded(draw(n, V_SOURCE)), padded(draw([6, 6, 6], V_TARGET))
    expected, _ = net(source, n, target)
    state, memory = net.start(source, n)
    tokens = torch.full((3,), BOS)
    for t in range(6):
        logits, state = net.step(tokens, state, memory)
        close(logits, expected[:, t])
        tokens = target[:, t]


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_the_encoder_is_torchs_own_bidirectional_one(cell):
    net, n = build(cell=cell), torch.tensor([3, 6, 1])
    both = type(net.forwards)(5, 5, batch_first=True, bidirectional=True).double()
    for name, weight in net.forwards.named_parameters():
        getattr(both, name).data = weight.data
        getattr(both, name + "_reverse").data = net.backwards.get_parameter(name).data
    source = padded(draw(n, V_SOURCE))
    packed = nn.utils.rnn.pack_padded_sequence(
        net.source(source), n, batch_first=True, enforce_sorted=False
    )
    h, last = both(packed)
    expected, _ = nn.utils.rnn.pad_packed_sequence(h, batch_first=True)
    (hidden, _), (_, memory, mask) = net.start(source, n)
    close(memory * mask[..., None], expected)
    last = last[0] if cell == "lstm" else last
    summary = torch.cat([last[0], last[1]], 1)
    close(torch.cat(hidden, 1), torch.tanh(net.bridge(summary)))


def test_the_scores_are_the_papers():
    torch.manual_seed(0)
    s, memory = torch.randn(1, 2, 3), torch.randn(1, 4, 6)
    mask = torch.tensor([[True, True, False, True]])
    for kind in ("additive", "multiplicative", "scaled"):
        attention = Attention(kind, 3, 6)
        context, weights = attention(s, attention.keys(memory), memory, mask)
        for t in range(2):
            scores = []
            for m in memory[0]:
                if kind == "additive":
                    pair = attention.query.weight @ s[0, t] + attention.keys.weight @ m
                    score = attention.score.weight[0] @ torch.tanh(pair + attention.keys.bias)
                else:
                    score = s[0, t] @ attention.keys.weight @ m
                    score = score / 3**0.5 if kind == "scaled" else score
                scores.append(score.exp())
            p = torch.stack(scores) * mask[0]
            torch.testing.assert_close(weights[0, t], p / p.sum())
            torch.testing.assert_close(context[0, t], p @ memory[0] / p.sum())


def test_without_attention_only_the_last_states_count():
    n = torch.tensor([4])
    source, target = draw(n, V_SOURCE)[0][None], draw([5], V_TARGET)[0][None]
    for attention in ATTENTIONS:
        net = build(attention=attention)
        state, memory = net.start(source, n)
        assert (memory[0].shape[1] == 1) == (attention == "none")
        assert (net(source, n, target)[1] is None) == (attention == "none")


def test_no_token_is_seen_before_its_time():
    n = torch.tensor([4])
    source, target = draw(n, V_SOURCE)[0][None], draw([6], V_TARGET)[0][None]
    for feed in (False, True):
        net = build(feed=feed)
        changed = target.clone()
        changed[0, 3] = 3 + (changed[0, 3] - 2) % (V_TARGET - 3)
        different = (net(source, n, target)[0] != net(source, n, changed)[0]).any(-1)[0]
        assert different.tolist() == [False] * 4 + [True] * 2


@pytest.mark.parametrize("feed", [False, True])
def test_scheduled_sampling_shows_the_net_its_own_tokens(feed):
    net, n = build(feed=feed), torch.tensor([4, 6])
    source, target = padded(draw(n, V_SOURCE)), padded(draw([5, 5], V_TARGET))
    state, memory = net.start(source, n)
    tokens, own = torch.full((2,), BOS), []
    for _ in range(5):
        logits, state = net.step(tokens, state, memory)
        own.append(logits)
        tokens = logits.argmax(-1)
    close(net(source, n, target, sampling=1.0)[0], torch.stack(own, 1))
    given = net(source, n, target)[0]
    assert not torch.allclose(given[:, 1:], torch.stack(own, 1)[:, 1:])
    torch.manual_seed(0)
    half = net(source, n, target, sampling=0.5)[0]
    assert not torch.allclose(half, given)
    close(half[:, 0], given[:, 0])


def test_scheduled_sampling_keeps_to_its_probability():
    net, n = build(), torch.full((400,), 3)
    source = draw([3], V_SOURCE)[0].expand(400, -1)
    own = net(source[:1], n[:1], torch.tensor([[4, 4]]), sampling=1.0)[0][0, 1]
    target = torch.full((400, 2), 4)
    torch.manual_seed(1)
    logits, _ = net(source, n, target, sampling=0.3)
    shown = (logits[:, 1] - own).abs().amax(1) < 1e-9
    assert abs(shown.double().mean().item() - 0.3) < 0.08


def test_tied_weights_are_one_matrix():
    net, other = build(), build(tied=False)
    assert net.readout.weight is net.target.weight
    assert other.readout.weight is not other.target.weight
    assert count(other) - count(net) == V_TARGET * 5


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_dropout_acts_in_training_alone_with_one_mask_for_all_steps():
    net, n = build(H=40, dropout=0.5), torch.tensor([4])
    source, target = draw(n, V_SOURCE)[0][None], draw([5], V_TARGET)[0][None]
    assert torch.equal(net(source, n, target)[0], net(source, n, target)[0])
    net.train()
    assert not torch.equal(net(source, n, target)[0], net(source, n, target)[0])
    dropped = net.dropout(torch.ones(3, 7, 40))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert not torch.equal(dropped[0], dropped[1])


def test_the_decoders_mask_is_locked_even_where_it_goes_step_by_step():
    net, n = build(H=30, dropout=0.5, feed=True).train(), torch.tensor([4, 3])
    source, target = padded(draw(n, V_SOURCE)), padded(draw([5, 5], V_TARGET))
    with torch.no_grad():
        net.target.weight[:] = 1.0
    seen = []
    net.decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0][..., :30]))
    net(source, n, target)
    seen = torch.cat(seen, 1)
    assert set(seen.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(seen, seen[:, :1].expand_as(seen))


def test_feeding_shows_the_decoder_what_was_read_out_before():
    net, n = build(feed=True), torch.tensor([4, 3])
    source, target = padded(draw(n, V_SOURCE)), padded(draw([5, 5], V_TARGET))
    seen = []
    net.decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    o, _ = net.outputs(source, n, target)
    seen = torch.cat(seen, 1)  # (B, T, 2E)
    before = F.pad(target[:, :-1], (1, 0), value=BOS)
    close(seen, torch.cat([net.target(before), F.pad(o[:, :-1], (0, 0, 1, 0))], 2))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_cross_entropy_without_the_padding(smoothing):
    net, n = build(), torch.tensor([4, 2])
    batch = padded(draw(n, V_SOURCE)), n, padded(draw([3, 6], V_TARGET))
    found, expected = (
        (value, torch.autograd.grad(value, list(net.parameters())))
        for value in (
            seq2seq.loss(net, batch, smoothing=smoothing)[0],
            F.cross_entropy(
                net(*batch)[0].flatten(0, 1),
                batch[2].flatten(),
                ignore_index=PAD,
                label_smoothing=smoothing,
            ),
        )
    )
    close(found[0], expected[0])
    for f, e in zip(found[1], expected[1]):
        close(f, e)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 700),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from([-100, 0]),
)
def test_the_fused_loss_is_torchs(N, V, smoothing, ignore):
    torch.manual_seed(N)
    parts = [
        torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((N, 3), (V, 3), (V,))
    ]
    y = torch.randint(V, (N,))
    y[0] = V - 1 if V > 1 else y[0]  # one at least counts
    y[1::7] = ignore
    if (y == ignore).all():
        return
    fused = linear_cross_entropy(*parts, y, smoothing, ignore)
    plain = F.cross_entropy(F.linear(*parts), y, label_smoothing=smoothing, ignore_index=ignore)
    close(fused, plain)
    pairs = (torch.autograd.grad(3 * value, parts) for value in (fused, plain))
    for f, e in zip(*pairs):
        close(f, e)


def test_the_fused_loss_takes_extreme_scores():
    o = torch.tensor([[1e4, -1e4]], requires_grad=True)
    value = linear_cross_entropy(o, torch.eye(2), torch.zeros(2), torch.tensor([1]))
    value.backward()
    assert value.item() == 2e4
    assert o.grad.tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("options", [{}, {"attention": "none", "cell": "lstm"}, {"feed": True}])
def test_bfloat16(options):
    net, n = build(H=32, **options).float(), torch.tensor([7, 3])
    batch = padded(draw(n, V_SOURCE)), n, padded(draw([5, 6], V_TARGET))
    exact, expected = gradients(net, batch, smoothing=0.1)
    with autocast("cpu", "bfloat16"):
        value, found = gradients(net, batch, smoothing=0.1)
        sampled, _ = seq2seq.loss(net, batch, sampling=0.5)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=0.02)
    assert torch.isfinite(sampled)
    for f, e in zip(found, expected):
        assert (f - e).norm() < 0.1 * e.norm() + 1e-4


@pytest.mark.parametrize("attention", ["additive", "multiplicative", "scaled"])
def test_attention_learns_to_look_where_the_word_is(attention):
    """Reverse three to seven words: the weights must lie on the other diagonal."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 8, (600,), generator=generator).tolist()
    words = [torch.randint(4, 12, (n,), generator=generator).tolist() for n in lengths]
    pairs = PaddedPairs([[*w, EOS] for w in words], [[*w[::-1], EOS] for w in words], 50)
    torch.manual_seed(0)
    net = Seq2Seq(12, 12, 32, attention=attention)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    history = train.fit(net, pairs, seq2seq.loss, optimizer, steps=250, progress=lambda r, _: r)
    assert history.losses[-1] < 0.2
    looks = net.eval()(
        torch.tensor([[4, 5, 6, 7, EOS]]), torch.tensor([5]), torch.tensor([[7, 6, 5]])
    )
    assert looks[1][0].argmax(1).tolist() == [3, 2, 1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: build(attention="dot"), ValueError, "'multiplicative'.*got 'dot'"),
        (lambda: build(cell="LSTM"), ValueError, "lstm, got 'LSTM'"),
        (
            lambda: build().start(torch.ones(2, 3, dtype=torch.int64), torch.tensor([3, 0])),
            ValueError,
            "got 0 for sequence 1",
        ),
        (
            lambda: build().start(torch.ones(3, dtype=torch.int64), torch.tensor([3])),
            ValueError,
            r"shape \(B, S\), got torch.int64 \(3,\)",
        ),
        (
            lambda: linear_cross_entropy(
                torch.ones(2, 3, 4), torch.ones(5, 4), torch.ones(5), torch.ones(2, 3).long()
            ),
            ValueError,
            "flatten batch and time",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
