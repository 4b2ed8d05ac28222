"""Labelled sequences: what the files hold, the stand-in, and files that are not of the form."""

import os

import numpy as np
import pytest

from rnnlib import data
from rnnlib.data import labelled

MIRROR = os.environ.get("RNNLIB_DATA")
TS = "#c\n@problemName X\n@data\n1,2,3:4,5,6:1\n\n7,8:9,10:3\n"


@pytest.mark.skipif(not MIRROR, reason="RNNLIB_DATA is not set: no real data to count")
def test_the_real_data_is_what_the_docstring_says(monkeypatch):
    monkeypatch.setenv("RNNLIB_DATA", MIRROR)
    vowels = labelled.japanese_vowels()
    assert (vowels.standin, vowels.classes) == (False, 9)
    assert vowels.sha256 == data.DATASETS[vowels.name].sha256
    assert [len(vowels.train), len(vowels.test)] == [270, 370]
    lengths = [len(x) for x in vowels.train + vowels.test]
    assert (min(lengths), max(lengths)) == (7, 29)
    assert np.bincount(vowels.train_labels).tolist() == [30] * 9
    assert np.bincount(vowels.test_labels).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert vowels.train[0].shape == (20, 12)
    assert vowels.train[0][:2, :2].ravel().tolist() == pytest.approx(
        [1.860936, -0.207383, 1.891651, -0.193249]
    )


def test_the_stand_in(capsys):
    vowels = labelled.japanese_vowels(standin=True)
    said = capsys.readouterr().out
    assert said.startswith("stand-in, as asked")
    assert said.count("\n") == 1
    assert (vowels.name, vowels.standin, vowels.sha256) == ("tsc/JapaneseVowels", True, None)
    assert np.bincount(vowels.train_labels).tolist() == [30] * 9
    assert len(vowels.test) == len(vowels.test_labels) == 370
    for x in vowels.train + vowels.test:
        assert x.dtype == np.float32
        assert x.shape[1] == 12
        assert 7 <= len(x) <= 29
    assert len({len(x) for x in vowels.train}) > 15
    assert vowels.train_labels.dtype == vowels.test_labels.dtype == np.int64
    again = labelled.japanese_vowels(standin=True)
    assert all(map(np.array_equal, vowels.train + vowels.test, again.train + again.test))


def test_the_stand_in_can_be_learned_and_its_order_tells_nothing_away():
    vowels = labelled.japanese_vowels(standin=True)
    means = np.stack([x.mean(0) for x in vowels.train])
    nearest = [np.square(means - x.mean(0)).sum(1).argmin() for x in vowels.test]
    right = vowels.train_labels[nearest] == vowels.test_labels
    assert 0.5 < right.mean() < 1
    assert not np.array_equal(vowels.train[0], vowels.test[0])


def test_without_a_network_the_stand_in_is_announced(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("RNNLIB_DATA", raising=False)
    monkeypatch.setenv("RNNLIB_CACHE", str(tmp_path))

    def refuse(*_, **__):
        raise data.UnavailableError("no network", "nothing there")

    monkeypatch.setattr("rnnlib.data.store.fetch", refuse)
    assert labelled.japanese_vowels().standin
    assert "Japanese Vowels cannot be had (no network)" in capsys.readouterr().out


def write(tmp_path, text):
    path = tmp_path / "some.ts"
    path.write_text(text, encoding="utf8")
    return path


def test_reading(tmp_path):
    sequences, labels = labelled.read_ts(write(tmp_path, TS))
    assert [x.tolist() for x in sequences] == [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10]]]
    assert labels.tolist() == [0, 2]
    assert sequences[0].dtype == np.float32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TS.replace("@data", "@other"), "line @data"),
        ("@data\n", "line @data"),
        (TS.replace("4,5,6", "4,5"), "line 4 is not"),
        (TS.replace("7,8", "7,x"), "line 6 is not"),
        (TS.replace(":3", ":three"), "line 6 is not"),
        (TS.replace("7,8:", ""), "line 6: expected 2 dimensions, got 1"),
    ],
)
def test_another_form_is_an_error_that_names_the_line(tmp_path, text, message):
    with pytest.raises(data.DataError, match=message):
        labelled.read_ts(write(tmp_path, text))
