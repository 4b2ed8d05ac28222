"""Batches: what they show, in what order, and that a step alone decides it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlib.data.batches import Blocks, Padded, PaddedPairs, Streams


@given(
    n=st.integers(0, 200),
    B=st.integers(1, 5),
    T=st.integers(1, 9),
    step=st.integers(0, 10**6),
    seed=st.integers(0, 9),
)
@settings(max_examples=100, deadline=None)
def test_streams_read_on_where_they_stopped(n, B, T, step, seed):
    ids = np.arange(n + B * (T + 1))
    streams = Streams(ids, B, T, seed=seed)
    x, y, reset = streams(step)
    assert x.shape == y.shape == (B, T)
    assert torch.equal(y, x + 1)
    assert torch.equal(x[:, 1:], y[:, :-1])
    following, _, fresh = streams(step + 1)
    assert torch.equal(following[:, 0], y[:, -1]) or fresh.all()
    lane = len(ids) // B
    assert reset.all() == (step == 0 or x[0, 0] % lane == 0)
    assert torch.equal(x[:, 0] // lane, torch.arange(B))


def test_streams_show_every_token_that_fills_a_window_once():
    streams = Streams(np.arange(101), 2, 8)
    seen = torch.cat([streams(k)[0].flatten() for k in range(streams.windows)])
    assert sorted(seen.tolist()) == [*range(48), *range(50, 98)]


def test_seeds_enter_the_streams_at_every_place():
    first = [Streams(np.arange(101), 2, 8, seed=seed)(0)[0][0, 0].item() for seed in range(100)]
    assert set(first) == {0, 8, 16, 24, 32, 40}


def test_resets_come_at_their_rate_and_differ_between_seeds():
    def masks(seed):
        streams = Streams(np.arange(64 * 1000), 64, 1, reset=0.05, seed=seed)
        return torch.stack([streams(k)[2] for k in range(1, 900)])

    rate = masks(0).double().mean().item()
    assert abs(rate - 0.05) < 4 * (0.05 * 0.95 / masks(0).numel()) ** 0.5
    assert torch.equal(masks(0), masks(0))
    assert not torch.equal(masks(0), masks(1))
    assert not Streams(np.arange(100), 4, 3)(1)[2].any()


def test_blocks_are_windows_of_the_text_at_every_place():
    blocks = Blocks(np.arange(12), 64, 4, seed=3)
    x, y, reset = blocks(0)
    assert torch.equal(x, x[:, :1] + torch.arange(4))
    assert torch.equal(y, x + 1)
    assert reset.all()
    starts = torch.cat([blocks(k)[0][:, 0] for k in range(20)])
    assert set(starts.tolist()) == set(range(8))
    assert torch.equal(blocks(5)[0], blocks(5)[0])
    assert not torch.equal(blocks(5)[0], blocks(6)[0])


def ragged(n, seed=0):
    rng = np.random.default_rng(seed)
    return [np.full((t, 2), k + 1.0) for k, t in enumerate(rng.integers(1, 30, size=n))]


@pytest.mark.parametrize("bucketed", [False, True])
@given(n=st.integers(1, 70), B=st.integers(1, 9), epoch=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_every_sequence_comes_once_an_epoch(bucketed, n, B, epoch):
    padded = Padded(ragged(n), np.arange(n), B, bucketed=bucketed)
    seen = []
    for step in range(epoch * padded.batches, (epoch + 1) * padded.batches):
        x, lengths, labels = padded(step)
        assert x.shape == (len(labels), int(lengths.max()), 2)
        inside = torch.arange(x.shape[1]) < lengths[:, None]
        expected = (labels[:, None] + 1) * inside
        assert torch.equal(x, expected[..., None].expand_as(x).double())
        seen += labels.tolist()
    assert sorted(seen) == list(range(n))


def test_the_order_is_drawn_anew_each_epoch_and_from_the_seed():
    def order(seed, epoch):
        padded = Padded(ragged(40), np.arange(40), 8, seed=seed)
        return torch.cat([padded(epoch * 5 + k)[2] for k in range(5)]).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_buckets_pad_less_but_do_not_sort_the_epoch():
    def padding(bucketed):
        padded = Padded(ragged(800), np.arange(800), 8, bucketed=bucketed)
        batches = [padded(k)[0].shape[:2] for k in range(padded.batches)]
        return sum(b * t for b, t in batches), [t for _, t in batches]

    plain, _ = padding(False)
    less, longest = padding(True)
    assert less < 0.75 * plain
    assert abs(np.corrcoef(longest, range(len(longest)))[0, 1]) < 0.3


def couples(n, seed=0):
    """Pairs whose ids are all k + 1 on the one side and all k + 1001 on the other."""
    lengths = np.random.default_rng(seed).integers(1, 30, size=(n, 2))
    sources = [[k + 1] * s for k, (s, _) in enumerate(lengths)]
    return sources, [[k + 1001] * t for k, (_, t) in enumerate(lengths)]


@given(
    n=st.integers(1, 70), B=st.integers(1, 9), epoch=st.integers(0, 3), run=st.sampled_from([1, 4])
)
@settings(max_examples=40, deadline=None)
def test_every_pair_comes_once_an_epoch_with_its_translation(n, B, epoch, run):
    sources, targets = couples(n)
    pairs, seen = PaddedPairs(sources, targets, B, run=run), []
    for step in range(epoch * pairs.batches, (epoch + 1) * pairs.batches):
        source, lengths, target = pairs(step)
        for row, size, other in zip(source.tolist(), lengths.tolist(), target.tolist()):
            k = row[0] - 1
            assert row == sources[k] + [0] * (source.shape[1] - size)
            assert other == targets[k] + [0] * (target.shape[1] - len(targets[k]))
            seen.append(k)
        assert source.all(0).any()
        assert target.all(0).any()
    assert sorted(seen) == list(range(n))


def test_pairs_are_a_pure_function_of_the_step():
    pairs, again = (PaddedPairs(*couples(40), 8, seed=3) for _ in range(2))
    steps = [7, 0, 7, 12, 1, 5, 0]
    for step in steps:
        for found, expected in zip(pairs(step), again(step)):
            assert torch.equal(found, expected)
        again(99)
    first, second = ([pairs(5 * epoch + k)[0][:, 0].tolist() for k in range(5)] for epoch in (0, 1))
    assert sorted(sum(first, [])) == sorted(sum(second, []))
    assert first != second
    assert first != [PaddedPairs(*couples(40), 8, seed=4)(k)[0][:, 0].tolist() for k in range(5)]


def test_buckets_of_pairs_pad_less_but_do_not_sort_the_epoch():
    def padding(run):
        pairs = PaddedPairs(*couples(1600), 8, run=run)
        batches = [pairs(k) for k in range(pairs.batches)]
        longest = [target.shape[1] for _, _, target in batches]
        return [sum(int((b[side] == 0).sum()) for b in batches) for side in (0, 2)], longest

    plain, _ = padding(1)
    less, longest = padding(32)
    assert less[1] < 0.1 * plain[1]
    assert less[0] < plain[0]
    assert abs(np.corrcoef(longest, range(len(longest)))[0, 1]) < 0.3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PaddedPairs([[4]], [[4], [5]], 2), "one target for each source, got 2 and 1"),
        (lambda: PaddedPairs([], [], 2), "at least one pair"),
        (lambda: PaddedPairs([[4], []], [[4], [5]], 2), "source 1 is empty, without even EOS"),
        (lambda: PaddedPairs([[4], [5]], [[4, 0], [5]], 2), "target 0 has a 0, which is padding"),
        (lambda: Streams(np.arange(9), 2, 4), "9 tokens are too few for B=2"),
        (lambda: Streams(np.zeros(99), 2, 4), r"token ids of shape \(N,\), got torch.float64"),
        (lambda: Streams(np.zeros((9, 9), int), 2, 4), r"got torch.int64 \(9, 9\)"),
        (lambda: Streams(np.arange(99), 2, 4, reset=5), "probability in 0..1, got 5"),
        (lambda: Blocks(np.arange(4), 2, 4), "4 tokens are too few for a window"),
        (lambda: Padded(ragged(3), [1, 2], 2), "one label each, got 3 and 2"),
        (lambda: Padded([], [], 2), "at least one sequence"),
        (lambda: Padded([np.ones((2, 1)), np.ones((0, 1))], [0, 1], 2), "sequence 1 is empty"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
