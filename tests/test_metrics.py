"""Scores of translations: sacreBLEU's numbers, with the settings that belong to them."""

import pytest

from rnnlib import metrics

REFERENCES = [
    "A man is walking in the park.",
    "Two dogs play with a red ball.",
    "我不知道你在哪里。",
]


def test_a_perfect_translation():
    for score in (metrics.bleu, metrics.chrf):
        assert score(REFERENCES, REFERENCES).value == pytest.approx(100)


def test_bleu_by_hand():
    # 5 of 5 words, 3 of 4 pairs, 1 of 3 triples, 0.5 of 2 quadruples (smoothed), no penalty.
    found = metrics.bleu(["a b c x y z"], ["a b c d x y"])
    p = [5 / 6, 3 / 5, 1 / 4, 1 / (2 * 3)]
    assert found.value == pytest.approx(100 * (p[0] * p[1] * p[2] * p[3]) ** 0.25)


def test_the_settings_count_and_are_in_the_signature():
    loud = [r.upper() for r in REFERENCES]
    assert metrics.bleu(loud, REFERENCES).value == pytest.approx(100)
    assert metrics.bleu(loud, REFERENCES, lowercase=False).value < 50
    assert metrics.chrf(loud, REFERENCES).value == pytest.approx(100)
    assert metrics.chrf(loud, REFERENCES, lowercase=False).value < 60
    for options, part in (({}, "tok:13a"), ({"tokenize": "zh"}, "tok:zh")):
        signature = metrics.bleu(REFERENCES, REFERENCES, **options).signature
        assert part in signature
        assert "case:lc" in signature
        assert "version:" in signature
    assert "case:mixed" in metrics.bleu(loud, REFERENCES, lowercase=False).signature
    assert str(metrics.bleu(REFERENCES, REFERENCES)).startswith("100.0 (nrefs:1|case:lc|eff:no")


def test_chinese_needs_its_own_splitting():
    hypothesis, reference = ["我不知道他在哪里。"], ["我不知道你在哪里。"]
    assert metrics.bleu(hypothesis, reference).value < 1
    assert metrics.bleu(hypothesis, reference, tokenize="zh").value > 50
    assert 30 < metrics.chrf(hypothesis, reference).value < 100


def test_empty_translations_cost_but_do_not_stop():
    some = ["", REFERENCES[1], ""]
    for score in (metrics.bleu, metrics.chrf):
        assert 0 < score(some, REFERENCES).value < 100
        assert score(["", "", ""], REFERENCES).value == 0


@pytest.mark.parametrize("score", [metrics.bleu, metrics.chrf])
@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "at least one, got 0 and 0"),
        (["a"], ["a", "b"], "got 2 and 1"),
        ("a", "a", "one string: put it in a list"),
    ],
)
def test_bad_input_is_named(score, hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        score(hypotheses, references)
