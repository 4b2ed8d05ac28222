"""Texts and names: as ids and back, split in two, and what stands in for them."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlib import data
from rnnlib.data import text
from rnnlib.data.registry import Dataset, File

PLAY = text.Text("play", "To be, or not to be: ½ 😀\n", False, None)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@given(st.text(alphabet=sorted(set(PLAY.text))))
def test_decode_inverts_encode(string):
    ids = PLAY.encode(string)
    assert ids.dtype == np.int64
    assert ids.shape == (len(string),)
    assert PLAY.decode(ids) == string


@given(st.text(min_size=1))
def test_any_text_is_its_own_round_trip(string):
    loaded = text.Text("any", string, False, None)
    assert loaded.vocabulary == sorted(set(string))
    ids = loaded.encode(string)
    assert [loaded.vocabulary[i] for i in ids] == list(string)
    assert loaded.decode(ids) == string


def test_an_unknown_character_is_named_with_its_position():
    for unknown in ("Z", "\0", "\U0010ffff", "\ud800"):
        with pytest.raises(ValueError, match="at position 3 is not among the 13 char") as caught:
            PLAY.encode("To " + unknown + "Z")
        assert repr(unknown) in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0, 13], "in 0..12, got 13 at position 1"),
        ([3, -1], "in 0..12, got -1 at position 1"),
        ([0.5], "integer ids, got float64"),
        ([True], "integer ids, got bool"),
        ([[1, 2]], r"shape \(T,\), got \(1, 2\)"),
        (3, r"shape \(T,\), got \(\)"),
    ],
)
def test_ids_that_are_none(ids, message):
    with pytest.raises(ValueError, match=message):
        PLAY.decode(ids)


def test_decode_takes_any_integers():
    for ids in ([1, 0], np.array([1, 0], np.uint8), range(1, -1, -1)):
        assert PLAY.decode(ids) == PLAY.vocabulary[1] + PLAY.vocabulary[0]
    assert PLAY.decode([]) == ""


@pytest.mark.parametrize(
    ("held_out", "train"), [(0.1, 9), (0.5, 5), (0.9, 1), (0.7, 3), (0.3, 7), (0.01, 9)]
)
def test_split_holds_out_the_end(held_out, train):
    loaded = text.Text("digits", "0123456789", False, None)
    train_ids, test_ids = loaded.split(held_out)
    assert train_ids.tolist() == list(range(train))
    assert test_ids.tolist() == list(range(train, 10))


@pytest.mark.parametrize("held_out", [0, 1, -0.1, 10, float("nan"), 0.95])
def test_split_refuses_an_empty_part(held_out):
    with pytest.raises(ValueError, match="held_out"):
        text.Text("digits", "0123456789", False, None).split(held_out)


@pytest.mark.parametrize("string", ["", "a"])
def test_split_refuses_a_text_that_is_too_short(string):
    with pytest.raises(ValueError, match="at least one of each"):
        text.Text("short", string, False, None).split()


def test_a_text_shows_itself_in_a_line():
    assert len(repr(PLAY)) < 80
    assert PLAY.text[:20] not in repr(PLAY)


@pytest.mark.parametrize("loader", [text.tiny_shakespeare, text.time_machine, text.names])
def test_a_standin_needs_no_data(loader, monkeypatch, capsys, cache):
    monkeypatch.setattr("rnnlib.data.store.fetch", lambda name: pytest.fail("looked for data"))
    loaded = loader(standin=True)
    said = capsys.readouterr().out
    assert said.startswith("stand-in, as asked: ")
    assert data.DATASETS[loaded.name].title in said
    assert said.count("\n") == 1
    assert loaded.standin
    assert loaded.sha256 is None
    assert loaded == loader(standin=True)
    assert not cache.exists()


def test_the_text_that_stands_in_is_plain_english_of_some_length():
    loaded = text.time_machine(standin=True)
    assert len(loaded.text) == 300_000
    assert set(loaded.vocabulary) <= {"\n", *map(chr, range(32, 127))}
    assert loaded.text.count(" the ") > 1000
    train_ids, test_ids = loaded.split()
    assert (len(train_ids), len(test_ids)) == (270_000, 30_000)


def test_the_names_that_stand_in_are_letters_by_script():
    loaded = text.names(standin=True)
    assert ("Alpha", "Greek") in loaded.pairs
    assert ("Ko Kai", "Thai") in loaded.pairs
    assert len(loaded.languages) == 18
    assert len(loaded.pairs) == len(set(loaded.pairs)) > 1000
    assert all(name.replace(" ", "").isalpha() and name.isascii() for name, _ in loaded.pairs)


def test_names_are_read_line_by_line(mirror, monkeypatch):
    polish, korean = "Ślusarski\nAdamczak\n".encode(), b"Gwang \n\nHyun"
    files = tuple(
        File(f"names/{language}.txt", "", len(content), sha256(content))
        for language, content in (("Polish", polish), ("Korean", korean))
    )
    monkeypatch.setitem(data.DATASETS, "names", Dataset("names", "", files, "", "", "", ""))
    mirror(polish, "names/names/Polish.txt")
    mirror(korean, "names/names/Korean.txt")
    loaded = text.names()
    expected = [("Ślusarski", "Polish"), ("Adamczak", "Polish")]
    assert loaded.pairs == [*expected, ("Gwang", "Korean"), ("Hyun", "Korean")]
    assert loaded.languages == ["Korean", "Polish"]
    assert not loaded.standin
    lines = sorted(f"{file.sha256}  {file.name}\n" for file in files)
    assert loaded.sha256 == sha256("".join(lines).encode())
