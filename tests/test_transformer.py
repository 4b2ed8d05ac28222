"""The Transformer keeps what a Seq2Seq promises: padding, steps, causality, both searches."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_decode import SOURCES, everything, same, sentences
from test_seq2seq import LENGTHS, V_SOURCE, V_TARGET, close, draw, gradients, padded
from torch import nn
from torch.nn import functional as F

from rnnlib import decode, train
from rnnlib.data.batches import PaddedPairs
from rnnlib.data.vocabulary import BOS, EOS, PAD
from rnnlib.nets import seq2seq
from rnnlib.nets.transformer import Transformer

CHOICES = {"layers": [1, 2], "heads": [1, 2, 4], "F": [None, 5]}
IDS = torch.full((2, 3), 4)
OPTIONS = st.fixed_dictionaries({k: st.sampled_from(v) for k, v in CHOICES.items()})


def build(seed=0, V=V_TARGET, D=8, **options):
    torch.manual_seed(seed)
    net = Transformer(12, V, D, **{"layers": 2, **options}).double().eval()
    for name, weight in net.named_parameters():  # so that all of them count
        mean = float("norm" in name and "weight" in name)
        nn.init.normal_(weight, mean, 0.7 if weight.ndim > 1 else 0.3)
    return net


def one_pair(S=5, T=6):
    return padded(draw([S], V_SOURCE)), torch.tensor([S]), padded(draw([T], V_TARGET))


@settings(max_examples=25, deadline=None)
@given(OPTIONS, LENGTHS, st.integers(0, 3), st.integers(0, 8), st.booleans())
def test_padding_and_company_change_nothing(options, lengths, extra, filling, inference):
    net = build(**options)
    n, m = (torch.tensor(k) for k in zip(*lengths))
    sources, targets = draw(n, V_SOURCE), draw(m, V_TARGET)
    source = padded(sources, extra, filling)
    with torch.inference_mode(inference):  # where PyTorch takes another path
        logits, weights = net(source, n, padded(targets, extra, filling))
    assert weights is None
    value, found = gradients(net, (source, n, padded(targets, extra)))
    total, expected = 0, [0] * len(found)
    for b, pair in enumerate(zip(sources, targets)):
        batch, share = (pair[0][None], n[b : b + 1], pair[1][None]), m[b].double() / m.sum()
        close(logits[b, : m[b]], net(*batch)[0][0])
        alone, parts = gradients(net, batch)
        total = total + share * alone
        expected = [e + share * p for e, p in zip(expected, parts)]
    close([value, *found], [total, *expected])


@pytest.mark.parametrize("inference", [False, True])
def test_one_step_at_a_time_is_the_same_as_all_at_once(inference):
    net, n = build(), torch.tensor([4, 2, 5])
    source, target = padded(draw(n, V_SOURCE)), padded(draw([6, 6, 6], V_TARGET))
    expected, _ = net(source, n, target)
    with torch.inference_mode(inference):
        state, memory = net.start(source, n)
        assert {len(part) for part in (*state, *memory)} == {3}
        tokens = torch.full((3,), BOS)
        for t in range(6):
            logits, state = net.step(tokens, state, memory)
            close(logits, expected[:, t])
            tokens = target[:, t]


def test_no_target_is_seen_before_its_time_and_every_source_token_always():
    net, (source, n, target) = build(), one_pair(6, 6)
    logits, _ = net(source, n, target)
    for k in range(6):
        other = F.one_hot(torch.tensor(k), 6)
        different = (net(source, n, (target + other) % V_TARGET)[0] != logits).any(-1)[0]
        assert different.tolist() == [False] * (k + 1) + [True] * (5 - k)
        assert (net(source + other, n, target)[0] != logits).any(-1).all()


def test_the_order_of_the_source_counts_for_its_positions_alone():
    net, (_, n, target) = build(), one_pair()
    sources = torch.tensor([[[3, 4, 5, 6, EOS]], [[5, 3, 4, 6, EOS]]])
    logits = [net(source, n, target)[0] for source in sources]
    assert (logits[0] - logits[1]).abs().amax(-1).min() > 0.01
    net._embed = lambda embedding, ids: embedding(ids)
    close(*(net(source, n, target)[0] for source in sources))


def test_the_positions_are_the_papers_and_layers_norm_what_enters_alone():
    net, (source, n, target) = build(), one_pair(500, 300)
    for layer in (*net.encoder.layers, *net.decoder.layers):  # let none of them add anything
        for name, weight in layer.named_parameters():
            if "norm" not in name:
                nn.init.zeros_(weight)
    place = torch.empty(500, 8, dtype=torch.float64)
    for i in range(4):
        angle = torch.arange(500) / 10_000 ** torch.tensor(2 * i / 8, dtype=torch.float64)
        place[:, 2 * i], place[:, 2 * i + 1] = angle.sin(), angle.cos()
    _, (memory, _) = net.start(source, n)
    outputs, _ = net.outputs(source, n, target)
    x = net.encoder.norm(math.sqrt(8) * net.source(source) + place)
    before = F.pad(target[:, :-1], (1, 0), value=BOS)
    y = net.decoder.norm(math.sqrt(8) * net.target(before) + place[:300])
    torch.testing.assert_close((memory, outputs), (x, y), rtol=0, atol=1e-3)  # float32 angles


def test_sizes_are_the_ones_asked_for_and_logits_begin_near_one():
    torch.manual_seed(0)
    net, D = Transformer(12, 1000, 64, layers=3, F=50), 64
    layer = 4 * D * (D + 1) + 2 * 50 * D + 50 + D + 4 * D  # attention, feed-forward, two norms
    total = 3 * (2 * layer + 4 * D * (D + 1) + 2 * D) + 4 * D + 1012 * D + 1000  # one read-out
    assert sum(weight.numel() for weight in net.parameters()) == total
    assert 0.8 < net(*one_pair())[0].std() < 1.2
    assert not net.readout.bias.any()


def test_dropout_acts_in_training_alone_on_embeddings_and_in_layers():
    net, batch = build(dropout=0.5), one_pair()
    assert torch.equal(net(*batch)[0], net(*batch)[0])
    net.train()
    seen = {net.encoder: [], net.decoder: []}
    for stack in seen:
        stack.register_forward_pre_hook(lambda stack, args: seen[stack].append(args[0]))
    net(*batch)
    net.dropout.p = 0.0
    net(*batch)
    for dropped, x in seen.values():
        assert set((dropped / x).round(decimals=6).unique().tolist()) == {0.0, 2.0}
    (state, memory), (_, other) = (net.start(*batch[:2]) for _ in range(2))
    assert not torch.equal(memory[0], other[0])
    one, other = (net.step(torch.tensor([BOS]), state, memory)[0] for _ in range(2))
    assert not torch.equal(one, other)


def worth(net, source, translations):
    """Log-probability of each of the translations of one source, all tokens at once."""
    n, targets = torch.tensor([len(source)]), [torch.tensor(ids) for ids in translations]
    y, sources = padded(targets), torch.tensor([source] * len(targets))
    logp = net(sources, n.expand(len(y)), y)[0].log_softmax(-1).gather(2, y[..., None])[..., 0]
    return logp.masked_fill(y == PAD, 0).sum(1).tolist()


@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_what_exhaustive_search_finds(seed, alpha):
    net, every = build(seed, V=6), list(everything(4))
    found = decode.beam(net, SOURCES, width=len(every), alpha=alpha, n=3, longest=4)
    for source, hypotheses in zip(SOURCES, found):
        logp = worth(net, source, every)
        best = sorted(((p / len(ids) ** alpha, ids) for p, ids in zip(logp, every)), reverse=True)
        assert [h.ids for h in hypotheses] == [ids for _, ids in best[:3]]
        assert [h.score for h in hypotheses] == pytest.approx([p for p, _ in best[:3]], abs=1e-9)


def test_searches_depend_on_no_batch_and_say_what_the_net_says():
    net, sources = build(2), [*sentences(9, 14), [5] * 500 + [EOS]]
    greedy = decode.greedy(net, sources, B=1, longest=9)
    beam = [best for (best,) in decode.beam(net, sources, width=3, B=1, longest=9)]
    assert len({tuple(h.ids) for h in greedy}) > 2
    same(decode.greedy(net, sources, longest=9), greedy)
    same([h for (h,) in decode.beam(net, sources, width=3, longest=9)], beam)
    same([h for (h,) in decode.beam(net, sources, width=1, longest=9)], greedy)
    for source, *hypotheses in zip(sources, greedy, beam):
        found = [h.log_probability for h in hypotheses]
        assert found == pytest.approx(worth(net, source, [h.ids for h in hypotheses]), abs=1e-9)


def test_it_learns_a_few_sentences_in_bfloat16():
    sources, targets = sentences(16, 7), [ids.tolist() for ids in draw(range(1, 17), V_TARGET)]
    sources = [[3 + k % 9, 3 + k // 9, *ids] for k, ids in enumerate(sources)]  # all different
    torch.manual_seed(0)
    net = Transformer(12, V_TARGET, 32, layers=1)
    pairs, optimizer = PaddedPairs(sources, targets, 60), torch.optim.Adam(net.parameters(), 0.01)
    options = {"steps": 120, "precision": "bfloat16", "progress": lambda r, _: r}
    losses = train.fit(net, pairs, seq2seq.loss, optimizer, **options).losses
    assert losses[0] > 2 > 20 * losses[-1]
    found = decode.greedy(net, sources, precision="bfloat16")
    assert sum(h.ids == ids for h, ids in zip(found, targets)) >= 14


@pytest.mark.parametrize(
    ("source", "lengths", "message"),
    [
        (IDS.float(), torch.tensor([3, 2]), r"got torch.float32 \(2, 3\)"),
        (IDS[0], torch.tensor([3]), r"\(B, S\), got torch.int64 \(3,\): .* source\[None\]"),
        (IDS, torch.tensor([3, 0]), "got 0 for sequence 1"),
        (IDS, torch.tensor([4, 1]), "got 4 for sequence 0"),
    ],
)
def test_bad_input_is_named(source, lengths, message):
    for call in (build().start, lambda *given: build()(*given, IDS)):
        with pytest.raises(ValueError, match=message):
            call(source, lengths)
    with pytest.raises(ValueError, match="scheduled sampling is for recurrent decoders"):
        seq2seq.loss(build(), one_pair(), sampling=0.1)


@pytest.mark.parametrize(("D", "heads"), [(5, 1), (6, 4)])
def test_a_width_that_does_not_fit_is_named(D, heads):
    with pytest.raises(ValueError, match=f"got D={D}, heads={heads}"):
        Transformer(V_SOURCE, V_TARGET, D, heads=heads)
