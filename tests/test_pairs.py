"""Pairs of sentences: what the files hold, the stand-in, and that nothing leaks."""

import gzip
import os
import re
import zipfile

import pytest

from rnnlib import data
from rnnlib.data import pairs
from rnnlib.data.vocabulary import Vocabulary, words
from rnnlib.data.written import written

MIRROR = os.environ.get("RNNLIB_DATA")
real = pytest.mark.skipif(not MIRROR, reason="RNNLIB_DATA is not set: no real data to count")
LOADERS = [(pairs.multi30k, "de", "en"), (pairs.tatoeba, "en", "zh")]


def overlap(loaded, side):
    """The bare sentences of one side that are in two parts."""
    train, val, test = (
        {pairs.bare(pair[side]) for pair in part}
        for part in (loaded.train, loaded.val, loaded.test)
    )
    return train & val | train & test | val & test


@real
def test_multi30k_is_what_the_docstring_says(monkeypatch):
    monkeypatch.setenv("RNNLIB_DATA", MIRROR)
    loaded = pairs.multi30k()
    assert (loaded.standin, loaded.source, loaded.target) == (False, "de", "en")
    assert loaded.sha256 == data.DATASETS["multi30k"].sha256
    assert [len(part) for part in (loaded.train, loaded.val, loaded.test)] == [29_000, 1014, 1000]
    assert loaded.train[0] == (
        "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
        "Two young, White males are outside near many bushes.",
    )
    assert loaded.test[-1][1].startswith("A")
    assert all(first and second for first, second in loaded.train + loaded.val + loaded.test)


@real
def test_tatoeba_leaks_nothing(monkeypatch):
    monkeypatch.setenv("RNNLIB_DATA", MIRROR)
    loaded = pairs.tatoeba()
    parts = loaded.train, loaded.val, loaded.test
    assert sum(map(len, parts)) == 24_818
    assert min(map(len, parts)) > 1000
    assert not overlap(loaded, 0)
    assert not overlap(loaded, 1)
    assert not any("\u200b" in second for part in parts for _, second in part)
    assert pairs.tatoeba().test == loaded.test


@pytest.mark.parametrize(("load", "source", "target"), LOADERS)
def test_the_stand_in(load, source, target, capsys):
    loaded = load(standin=True)
    said = capsys.readouterr().out
    assert said.startswith("stand-in, as asked")
    assert said.count("\n") == 1
    assert (loaded.source, loaded.target, loaded.standin, loaded.sha256) == (
        *(source, target, True, None),
    )
    assert len(loaded.train) > 1000
    assert not overlap(loaded, 0)
    assert len(repr(loaded)) < 100
    assert load(standin=True) == loaded


@pytest.mark.parametrize(("load", "source", "target"), LOADERS)
def test_without_a_network_the_stand_in_is_announced(load, source, target, monkeypatch, capsys):
    def refuse(*_, **__):
        raise data.UnavailableError("no network", "nothing there")

    monkeypatch.setattr("rnnlib.data.store.fetch", refuse)
    assert load().standin
    assert re.search("Multi30k|Tatoeba.* cannot be had", capsys.readouterr().out)


def test_files_of_unequal_length_are_refused(tmp_path, monkeypatch):
    paths = [tmp_path / f"{part}.{side}.gz" for part in ("a", "b", "c") for side in ("de", "en")]
    for path in paths:
        path.write_bytes(gzip.compress("Ein Satz.\u2028Noch einer.\nZwei.\n".encode()))
    monkeypatch.setattr(pairs, "obtain", lambda *_: paths)
    assert pairs.multi30k().val[0] == ("Ein Satz.\u2028Noch einer.",) * 2
    paths[3].write_bytes(gzip.compress(b"One.\n"))
    with pytest.raises(data.DataError, match=r"b.de.gz and b.en.gz: expected .* got 2 and 1"):
        pairs.multi30k()
    paths[3].write_bytes(b"<html>")
    with pytest.raises(data.DataError, match="b.en.gz: expected gzipped text"):
        pairs.multi30k()


def archive(tmp_path, **members):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        for name, text in members.items():
            opened.writestr(f"set/{name}.txt", text)
    return tmp_path / "a.zip"


def test_reading_a_list_of_pairs(tmp_path):
    text = "Hi.\t嗨\u200b。\tCC-BY\n\nA\u2028b \tc\n"
    found = pairs.read_anki(archive(tmp_path, _about="no\ttabs", cmn=text))
    assert found == [("Hi.", "嗨。"), ("A\u2028b", "c")]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"_about": "x"}, "one list of pairs"),
        ({"a": "b\tc", "d": "e\tf"}, "one list of pairs"),
        ({"a": "b\tc\nno tab here"}, "line 2: expected a tab"),
        ({"a": b"\xff\t\xff"}, "zip with text in UTF-8"),
    ],
)
def test_another_form_is_an_error(tmp_path, members, message):
    with pytest.raises(data.DataError, match=message):
        pairs.read_anki(archive(tmp_path, **members))


def test_no_archive_is_an_error(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"<html>")
    with pytest.raises(data.DataError, match="expected a zip"):
        pairs.read_anki(tmp_path / "a.zip")


def test_the_split_keeps_connected_pairs_together():
    # A chain: "Go!" and "go", one Chinese sentence for two English ones, and again.
    chain = [("Go!", "走"), ("go", "去吧"), ("Leave.", "去吧。"), ("Leave", "离开")]
    others = [(f"sentence {k}", f"句子{k}") for k in range(30)]
    homes = set()
    for seed in range(20):
        parts = pairs.split(chain + others, held_out=5, seed=seed)
        assert sorted(sum(parts, [])) == sorted(chain + others)
        home = [k for k, part in enumerate(parts) if set(chain) & set(part)]
        assert len(home) == 1
        assert set(chain) <= set(parts[home[0]])
        homes |= set(home)
        for k in (1, 2):
            assert len(parts[k]) == 5 + 3 * (home == [k])
    assert homes == {0, 1, 2}
    assert pairs.split(others, 5, seed=1) == pairs.split(others, 5, seed=1)
    with pytest.raises(ValueError, match="more than 30 unconnected groups, got 30"):
        pairs.split(others, 15)


def test_dates_and_quantities_are_translations_of_each_other():
    drawn = written(300, "de", "en", longest=1)
    assert written(300, "de", "en", longest=1) == drawn != written(300, longest=1, seed=1)
    assert len(dict(drawn)) == 300
    days = dict(zip("MDFS", ("Monday", "Thursday", "Friday", "Saturday")))
    for german, english in drawn:
        assert not re.search(r"\d|\xa0", german + english)
        if german.startswith("Montag"):
            assert english.startswith(days["M"])
        if "Kilogramm" in german:
            assert "kilograms" in english
    text = dict(drawn) | dict(written(8000, longest=1))
    date = next(g for g in text if re.match(r"Mittwoch, dritter Mai neunzehnhundert\w+$", g))
    assert re.match(r"Wednesday, May third, nineteen [\w -]+$", text[date])


def test_lists_are_joined_as_each_language_does():
    for german, english in written(200, longest=2):
        if "thousand" not in english:  # "two thousand and four" is one year
            assert (" und " in german) == (" and " in english)
    chinese = dict(written(400, "en", "zh", longest=1)).values()
    assert any(re.fullmatch(r"\d{4}年\d{1,2}月\d{1,2}日星期.", c) for c in chinese)
    assert any(re.fullmatch(r"\d{1,2}(摄氏度|千克|克|吨|卡路里)", c) for c in chinese)


def test_the_stand_in_is_hard_enough_and_not_too_hard():
    loaded = pairs.multi30k(standin=True)
    source, target = (Vocabulary([pair[k] for pair in loaded.train]) for k in (0, 1))
    assert 250 < source.V < 400
    assert 100 < target.V < 250
    unknown, total = source.unknown([pair[0] for pair in loaded.test])
    assert unknown < 0.01 * total
    lengths = [len(words(first)) for first, _ in loaded.test]
    assert min(lengths) <= 3
    assert max(lengths) >= 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: written(1, "de", "fr"), "a language among .* got 'fr'"),
        (lambda: written(10**6, longest=1), "no 1000000 different sentences"),
        (lambda: written(1, longest=0), "no 1 different sentences of up to 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
