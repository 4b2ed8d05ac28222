"""What chapter 12 prints computes what sacreBLEU, brute force and the library compute."""

import functools
import itertools
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from chapter_cells import functions
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch import nn

from rnnlib import decode, metrics
from rnnlib.data.vocabulary import BOS, EOS, PAD, UNK, Vocabulary, words
from rnnlib.nets.seq2seq import Seq2Seq

CHAPTER = "12_translation"
NEVER = (PAD, BOS, UNK)
close = functools.partial(torch.testing.assert_close, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def cells():
    return functions(
        CHAPTER,
        *("bleu_counts", "bleu_from", "word_counts", "unit", "translation_memory"),
        *("read", "attend", "write", "by_hand", "beam_by_hand"),
        **{"np": np, "sparse": sparse, "torch": torch, "Counter": Counter},
        **{"PAD": PAD, "BOS": BOS, "EOS": EOS},
    )


sentence = st.lists(st.sampled_from("ab"), max_size=9)
SHORT, EMPTY, WHOLE = (list("aba"), list("abab")), ([], list("ab")), (list("abbab"),) * 2


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(sentence, sentence.filter(len)), min_size=1, max_size=5))
@example([SHORT])
@example([EMPTY])
@example([SHORT, EMPTY, WHOLE, (list("abba"), list("abbabab"))])  # brief
@example([(list("abcd"), list("abdc"))])
def test_bleu_is_sacrebleus_but_for_the_smoothing_of_zeros(cells, corpus):
    counts = sum(cells["bleu_counts"](*pair) for pair in corpus)
    theirs = metrics.bleu(*([" ".join(side) for side in part] for part in zip(*corpus))).value
    ours = cells["bleu_from"](counts)
    assert counts[8:].tolist() == [sum(map(len, side)) for side in zip(*corpus)]
    if counts[:4].any() and counts[4:8].all() and not counts[:4].all():
        # Nothing of some length is matched: the chapter says 0, as the formula does, and
        # sacreBLEU takes a half for the first such count, a quarter for the next.
        assert ours == 0 < theirs
    else:
        assert ours == pytest.approx(theirs, rel=1e-9)


def model_1(V_source, *given):
    names = {"np": np, "sparse": sparse, "PAD": PAD, "S_words": SimpleNamespace(V=V_source)}
    return functions(CHAPTER, "belonging", "model_1", **names)["model_1"](*given).toarray()


def test_model_1_climbs_as_expectation_and_maximisation_by_brute_force():
    rng = np.random.default_rng(0)
    data = [(rng.integers(1, 6, rng.integers(1, 6)), rng.integers(3, 9, 4)) for _ in range(8)]
    data = [(fs.tolist(), es.tolist()) for fs, es in data] + [([], [4]), ([5, 5], [])]
    asked = [([PAD, *fs], e) for fs, es in data for e in es]
    climbed, t = [], np.full((6, 9), 1 / 9)
    for rounds in range(1, 8):
        climbed.append(sum(np.log(t[fs, e].sum()) for fs, e in asked))
        counts = np.zeros_like(t)
        for fs, e in asked:
            np.add.at(counts[:, e], fs, t[fs, e] / t[fs, e].sum())
        t = model_1(6, data, 9, rounds)
        np.testing.assert_allclose(t, counts / counts.sum(1, keepdims=True), atol=1e-12)
        np.testing.assert_allclose(t.sum(1), 1)
    assert all(np.diff(climbed) > 1e-3)


def test_model_1_finds_a_permuted_dictionary():
    rng = np.random.default_rng(1)
    dictionary = dict(zip(range(4, 14), 4 + rng.permutation(10)))
    drawn = [4 + rng.permutation(10)[:4] for _ in range(60)]
    data = [(fs.tolist(), rng.permutation([dictionary[f] for f in fs]).tolist()) for fs in drawn]
    t = model_1(14, data, 14, 10)
    assert {f: int(t[f].argmax()) for f in dictionary} == dictionary


@np.errstate(all="raise")
def test_the_memory_finds_its_own_sentences_and_the_nearest_of_others(cells):
    rng, letters = np.random.default_rng(2), list("abcdefghij")
    some = {" ".join(sorted(rng.choice(letters, 4, replace=False))) + " a" for _ in range(30)}
    pairs = [(s, s.upper()) for s in sorted(some)]
    remember = cells["translation_memory"](pairs, Vocabulary(some, least=1))
    assert remember(some) == [s.upper() for s in some]
    odd = [remember([s])[0] for s in ("", "  ", "zz zz", "🙂", "a")]  # a is in all: worth 0
    assert set(odd) <= {s.upper() for s in some}
    rarity = {w: np.log(len(some) / sum(w in s.split() for s in some)) for w in letters}

    def cosine(a, b):
        a, b = (np.array([s.split().count(w) * rarity[w] for w in letters]) for s in (a, b))
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    asked = [" ".join(rng.choice(letters, 5)) for _ in range(20)]
    found = [cosine(a, found.lower()) for a, found in zip(asked, remember(asked))]
    np.testing.assert_allclose(found, [max(cosine(a, s) for s in some) for a in asked])


def random_net(seed, V_source, V_target, H, attention="additive"):
    torch.manual_seed(seed)
    net = Seq2Seq(V_source, V_target, H, attention=attention, tied=False).double().eval()
    for p in net.parameters():  # biases too, so that none can be forgotten
        nn.init.normal_(p, std=0.6)
    return net


@torch.no_grad()
@pytest.mark.parametrize("attention", ["none", "multiplicative", "scaled", "additive"])
def test_the_equations_are_the_librarys_padded_batch(cells, attention):
    net = random_net(0, 12, 10, 6, attention)
    lengths = torch.tensor([3, 7, 1])
    x, y = torch.randint(4, 12, (3, 7)), torch.randint(4, 10, (3, 5))  # any id as padding
    logits, looked = net(x, lengths, y)
    log_p = logits.log_softmax(-1)  # (3, 5, 10)
    for k, n in enumerate(lengths):
        (memory, summary, s), token = cells["read"](net, x[k, :n]), torch.tensor(BOS)
        for t in range(5):
            ours, s, weights = cells["write"](net, token, s, memory, summary)
            close(ours, log_p[k, t])
            if looked is not None:
                close(weights, looked[k, t, :n])
            token = y[k, t]
        close(cells["by_hand"](net, x[k, :n], y[k]), log_p[k, range(5), y[k]].sum())
    assert (weights is None) == (looked is None) == (attention == "none")


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
def test_the_beam_is_the_librarys_and_exhaustive_if_wide(cells, seed):
    net, longest = random_net(seed, 8, 6, 5), 4
    x = torch.tensor([[5, 7, 4, EOS], [6, EOS], [EOS], [4, 4, 7, 6, 5, EOS]][seed])
    some = [p for n in range(longest) for p in itertools.product((UNK, 4, 5), repeat=n)]
    every = [(float(cells["by_hand"](net, x, torch.tensor([*y, EOS]))), [*y, EOS]) for y in some]
    for K in (1, 2, 3, 5, len(every)):
        ours = sorted(cells["beam_by_hand"](net, x, K, longest), reverse=True)
        library = functools.partial(decode.beam, net, [x.tolist()], width=K, alpha=0)
        (theirs,) = library(n=K, longest=longest)
        assert [ids for _, ids in ours] == [h.ids for h in theirs]
        assert [p for p, _ in ours] == pytest.approx([h.log_probability for h in theirs], abs=1e-9)
        assert ours[0][1] == library(longest=longest)[0][0].ids
    assert [ids for _, ids in ours] == [ids for _, ids in sorted(every, reverse=True)]


@pytest.fixture(scope="module")
def try_it():
    S = Vocabulary(["Ein Hund rennt schnell.", "Zwei Hunde rennen. Ein Mann im Schnee!"], least=1)
    T = Vocabulary(["A dog runs fast. Two dogs run.", "A man in the snow!"], least=1)
    net = random_net(0, S.V, T.V, 5).float()
    net.readout.bias.data[UNK] += 3  # what it would say if it were allowed to
    given = {
        "S_words": S,
        "T_words": T,
        "net": net,
        "UNK": UNK,
        "NEVER": NEVER,
        "ALPHA": 1.0,
        "LONGEST": 6,
    }
    return functions(CHAPTER, "warnings", "translate", **given, decode=decode, words=words)


UNSEEN, GERMAN, LONG = "words are not on the list", "is this German?", "the longest in"


@pytest.mark.parametrize(
    ("text", "promised", "start"),
    [
        ("Ein HUND rennt.", (), ""),
        ("Ein Hund im Schnee bellt", (UNSEEN,), "note: 1 of 5"),
        ("Ein blauer Hund bellt", (UNSEEN, GERMAN), "note: 2 of 4"),
        ("🙂🙂", (UNSEEN, GERMAN), "note: 2 of 2"),
        ("Xyzzy <unk> qwrtz\u200b\n", (UNSEEN, GERMAN), "note: 6 of 6"),
        ("ein Hund " * 250, (LONG,), "note: 500 words; the longest in training had 6"),
        ("plugh " * 500, (UNSEEN, GERMAN, LONG), "note: 500 of 500"),
    ],
)
def test_whatever_is_typed_gets_its_notes_and_a_translation(try_it, capsys, text, promised, start):
    best = try_it["translate"](text, width=3)
    lines = capsys.readouterr().out.splitlines()
    notes = [line for line in lines if line.startswith("note: ")]
    assert all(part in note for part, note in zip(promised, notes, strict=True))
    assert "".join(notes).startswith(start)
    ids = try_it["S_words"].encode(text)
    options = {"width": 3, "n": 3, "longest": min(2 * len(ids) + 10, 100), "banned": NEVER}
    (found,) = decode.beam(try_it["net"], [ids], **options)
    assert best == found[0].ids
    rivals = [try_it["T_words"].decode(h.ids)[:75] for h in found]
    assert [line[9:] for line in lines[len(notes) :]] == rivals


@pytest.mark.parametrize("text", ["", "   ", " \t\n\u3000"])
def test_where_nothing_is_typed_nothing_is_translated(try_it, capsys, text):
    assert try_it["translate"](text) is None
    assert capsys.readouterr().out == "there is nothing to translate\n"
    assert try_it["warnings"](text) == []
