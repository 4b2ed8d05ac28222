"""Greedy and beam search: the optimum if the beam is wide, and whatever the company."""

import itertools
import math

import pytest
import torch
from torch import nn

from rnnlib import decode
from rnnlib.data.vocabulary import BOS, EOS, PAD, UNK
from rnnlib.nets.seq2seq import Seq2Seq

V = 6  # PAD, BOS, EOS, UNK and two words


class Table(nn.Module):
    """The next token depends on the source's sum, the last token and the one before."""

    def __init__(self, seed, scale=1.5):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        drawn = scale * torch.randn(5, V, V, V, generator=generator, dtype=torch.float64)
        self.scores = nn.Parameter(drawn)
        self.log_p = drawn.log_softmax(-1).tolist()
        self.steps = 0

    def start(self, source, lengths):
        inside = torch.arange(source.shape[1]) < lengths[:, None]
        before = torch.full((len(source),), PAD)
        return (before,), ((source * inside).sum(1) % 5,)

    def step(self, tokens, state, memory):
        self.steps += 1
        return self.scores[memory[0], state[0], tokens], (tokens,)


def log_probability(net, source, ids):
    """What `ids` are worth, looked up one at a time."""
    log_p = net.log_p[sum(source) % 5]
    before, last, total = PAD, BOS, 0.0
    for k in ids:
        total += log_p[before][last][k]
        before, last = last, k
    return total


def everything(longest, tokens=(UNK, 4, 5)):
    """All translations of at most `longest` tokens, EOS included."""
    for n in range(longest):
        for words in itertools.product(tokens, repeat=n):
            yield [*words, EOS]


def exhaustive(net, source, longest, alpha):
    scored = (
        (log_probability(net, source, ids) / len(ids) ** alpha, ids) for ids in everything(longest)
    )
    return sorted(scored, reverse=True)


SOURCES = [[4, EOS], [5, 4, 4, EOS], [EOS], [5, 5, 5, 4, 5, EOS]]


@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_what_exhaustive_search_finds(seed, alpha):
    net, longest = Table(seed), 4
    width = len(list(everything(longest)))
    found = decode.beam(net, SOURCES, width=width, alpha=alpha, n=3, longest=longest)
    for source, hypotheses in zip(SOURCES, found):
        best = exhaustive(net, source, longest, alpha)[:3]
        assert [h.ids for h in hypotheses] == [ids for _, ids in best]
        for h, (score, ids) in zip(hypotheses, best):
            assert h.score == pytest.approx(score, abs=1e-10)
            assert h.log_probability == pytest.approx(log_probability(net, source, ids), abs=1e-10)


def plain_beam(net, source, width, alpha, longest):
    """Beam search of one sentence as the docstring describes it, without any haste."""
    alive, finished, places = [(0.0, [])], [], width
    for n in range(1, longest + 1):
        candidates = []
        for _, ids in alive:
            for k in (EOS,) if n == longest else (EOS, UNK, 4, 5):
                candidates.append((log_probability(net, source, [*ids, k]), [*ids, k]))
        best = sorted(candidates, reverse=True)[:places]
        finished += [(total / len(ids) ** alpha, ids) for total, ids in best if ids[-1] == EOS]
        alive = [(total, ids) for total, ids in best if ids[-1] != EOS]
        places -= sum(ids[-1] == EOS for _, ids in best)
    return sorted(finished, reverse=True)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_a_narrow_beam_is_beam_search(width, alpha):
    different = 0
    for seed in range(8):
        net = Table(seed, scale=1.0)
        found = decode.beam(net, SOURCES, width=width, alpha=alpha, longest=6)
        for source, (hypothesis,) in zip(SOURCES, found):
            score, ids = plain_beam(net, source, width, alpha, 6)[0]
            assert hypothesis.ids == ids
            assert hypothesis.score == pytest.approx(score, abs=1e-10)
            different += ids != plain_beam(net, source, 1, alpha, 6)[0][1]
    assert (different > 3) == (width > 1)


@pytest.mark.parametrize("longest", [None, 1, 2, 7])
def test_a_beam_of_one_is_greedy(longest):
    for seed in range(10):
        net = Table(seed, scale=0.7)
        greedy = decode.greedy(net, SOURCES, longest=longest)
        beam = decode.beam(net, SOURCES, width=1, longest=longest)
        assert [h.ids for h in greedy] == [h.ids for (h,) in beam]
        for h, source in zip(greedy, SOURCES):
            assert h.log_probability == pytest.approx(log_probability(net, source, h.ids))
            assert h.score == pytest.approx(h.log_probability / len(h.ids))
            assert len(h.ids) <= (longest or 2 * len(source) + 10)


def test_the_search_stops_as_soon_as_nothing_can_change():
    net = Table(0)
    with torch.no_grad():
        net.scores[..., EOS] -= 50
        net.scores[:, PAD, BOS, EOS] += 70  # the end is likely at once, and never again
    found = decode.beam(net, SOURCES, width=4, longest=100)
    assert [best.ids for (best,) in found] == [[EOS]] * len(SOURCES)
    assert net.steps == 1


def test_the_state_follows_its_beginning():
    net = Table(3)
    for hypotheses in decode.beam(net, SOURCES, width=4, n=4, longest=8):
        assert len({tuple(h.ids) for h in hypotheses}) == len(hypotheses) > 1
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
    for source, hypotheses in zip(SOURCES, decode.beam(net, SOURCES, width=4, n=4, longest=8)):
        for h in hypotheses:
            assert h.log_probability == pytest.approx(log_probability(net, source, h.ids))


def translator(seed=0, **options):
    torch.manual_seed(seed)
    net = Seq2Seq(12, 11, 8, **options).double()
    for rnn in (net.target, net.readout):  # so that translations differ in length
        nn.init.normal_(rnn.weight, std=1.0)
    return net


def sentences(n, longest, seed=0):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(longest, (n,), generator=generator).tolist()
    drawn = [torch.randint(3, 12, (k,), generator=generator).tolist() for k in lengths]
    return [[*ids, EOS] for ids in drawn]


def same(first, second):
    """Expect equal ids and equal scores, up to rounding."""
    assert [h.ids for h in first] == [h.ids for h in second]
    assert [h.score for h in first] == pytest.approx([h.score for h in second], abs=1e-9)


@pytest.mark.parametrize("options", [{}, {"attention": "none", "cell": "lstm"}, {"feed": True}])
def test_batch_order_and_company_change_nothing(options):
    net, sources = translator(**options), sentences(23, 14)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(5)).tolist()
    shuffled = [sources[k] for k in order]
    greedy = decode.greedy(net, sources, B=1)
    beam = [best for (best,) in decode.beam(net, sources, width=3, B=1)]
    assert len({len(h.ids) for h in greedy}) > 3
    for B in (1, 4, 100):
        same(decode.greedy(net, shuffled, B=B), [greedy[k] for k in order])
        found = decode.beam(net, shuffled, width=3, B=B)
        same([best for (best,) in found], [beam[k] for k in order])


def test_what_is_banned_does_not_come():
    net, sources = translator(), sentences(10, 8)
    for banned in ((PAD, BOS), (PAD, BOS, UNK, 7)):
        for h in decode.greedy(net, sources, banned=banned):
            assert not set(banned) & set(h.ids)
        for hypotheses in decode.beam(net, sources, n=5, banned=banned):
            assert not set(banned) & {k for h in hypotheses for k in h.ids}


def test_every_translation_ends_once_and_in_time():
    net, sources = translator(), [[EOS], [UNK] * 30 + [EOS], [5] * 500 + [EOS], [UNK, EOS]]
    with torch.no_grad():
        net.readout.bias[EOS] -= 100  # it would go on for ever
    found = decode.beam(net, sources, width=2, n=2)
    for source, greedy, hypotheses in zip(sources, decode.greedy(net, sources), found):
        for h in (greedy, *hypotheses):
            assert h.ids.index(EOS) == len(h.ids) - 1 == 2 * len(source) + 9
            assert math.isfinite(h.score)


def test_nothing_to_translate():
    assert decode.greedy(Table(0), []) == decode.beam(Table(0), []) == []


def test_the_net_is_left_as_it_was_and_translates_without_dropout():
    net, sources = translator(dropout=0.5).train(), sentences(5, 6)
    same(decode.greedy(net, sources), decode.greedy(net, sources))
    assert net.training


def test_bfloat16_is_close():
    net, sources = translator().float(), sentences(9, 6)
    exact = decode.greedy(net, sources)
    rounded = decode.greedy(net, sources, precision="bfloat16")
    agree = [a.ids == b.ids for a, b in zip(exact, rounded)]
    assert sum(agree) >= 6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: decode.greedy(net, [[4, EOS], []]), "source 1 is empty"),
        (lambda net: decode.beam(net, [[]]), "source 0 is empty"),
        (lambda net: decode.greedy(net, SOURCES, longest=0), "longest of at least 1, got 0"),
        (lambda net: decode.beam(net, SOURCES, width=0), "1 <= n <= width, got n=1 and width=0"),
        (lambda net: decode.beam(net, SOURCES, n=6), "1 <= n <= width, got n=6 and width=5"),
        (lambda net: decode.beam(net, SOURCES, alpha=-1), "alpha of at least 0, got -1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(Table(0))
