"""Spoken digits: what the archive holds, the split, the stand-in, and connected digits."""

import hashlib
import io
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import test_audio

from rnnlib import data
from rnnlib.data import speech
from rnnlib.data.audio import log_mel

MIRROR = os.environ.get("RNNLIB_DATA")
PREFIX = "free-spoken-digit-dataset-1.0.10/"
NAMES = [f"{d}_{who}_{k}.wav" for d in (0, 7) for who in ("ann", "bo") for k in (10, 4, 5)]


@pytest.fixture(scope="module")
def standin():
    return speech.fsdd(standin=True)


@pytest.fixture
def few(monkeypatch, cache):
    """Let the data set be a few recordings; the mirror is empty, the network away."""
    tones = [test_audio.tone(300 + 50 * k, 8000, 0.05) for k in range(len(NAMES))]
    files = {n: test_audio.wav(test_audio.encoded(x, 16, 1)) for n, x in zip(NAMES, tones)}
    lines = sorted(f"{hashlib.sha256(b).hexdigest()}  recordings/{n}\n" for n, b in files.items())
    monkeypatch.setattr(speech, "_SHA256", hashlib.sha256("".join(lines).encode()).hexdigest())
    monkeypatch.setattr(speech, "_URL", "http://127.0.0.1:9/nothing.tar.gz")
    return files


def packed(files, **more):
    """A tar.gz as GitHub makes it, with other files beside the recordings."""
    stream = io.BytesIO()
    content = {f"recordings/{name}": body for name, body in files.items()} | more
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, body in ({"README.md": b"x", "acquire_data/0_a_0.wav": b"x"} | content).items():
            member = tarfile.TarInfo(PREFIX + name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return stream.getvalue()


def assert_is_few(loaded):
    assert (loaded.standin, loaded.sha256) == (False, speech._SHA256)
    rows = list(zip(loaded.labels, loaded.speakers, loaded.takes))
    assert rows == sorted((int(d), who, int(k)) for d, who, k in (n[:-4].split("_") for n in NAMES))
    for x, row in zip(loaded.recordings, rows):
        hertz = 300 + 50 * NAMES.index("{}_{}_{}.wav".format(*row))
        np.testing.assert_allclose(x, test_audio.tone(hertz, 8000, 0.05), atol=2**-15)


@pytest.mark.skipif(not MIRROR, reason="RNNLIB_DATA is not set: no real data to count")
def test_the_real_data_is_what_the_docstring_says(monkeypatch):
    monkeypatch.setenv("RNNLIB_DATA", MIRROR)
    spoken = speech.fsdd()
    assert (len(spoken.recordings), len(spoken.labels)) == (3000, 3000)
    names = ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    combinations = set(zip(spoken.labels, spoken.speakers, spoken.takes))
    assert combinations == {(d, n, k) for d in range(10) for n in names for k in range(50)}
    assert spoken.official()[1].sum() == 300
    assert round(sum(map(len, spoken.recordings)) / 8000 / 60) == 22
    assert all(x.dtype == np.float32 and 0.01 < abs(x).max() <= 1 for x in spoken.recordings)


def test_loose_recordings_in_the_mirror(few, mirror):
    for name, body in few.items():
        mirror(body, f"fsdd/recordings/{name}")
    assert_is_few(speech.fsdd())
    mirror(few[NAMES[0]][:-2] + b"\1\1", f"fsdd/recordings/{NAMES[0]}")
    with pytest.raises(data.ChecksumError, match="found 12 with"):
        speech.fsdd()


def test_an_archive_in_the_mirror_is_read_and_nothing_is_unpacked(few, mirror, tmp_path):
    path = mirror(packed(few), "fsdd/v1.0.10.tar.gz")
    assert_is_few(speech.fsdd())
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    for content in (path.read_bytes()[:900], b"<html>", packed(dict(list(few.items())[1:]))):
        path.write_bytes(content)
        with pytest.raises(data.ChecksumError, match=r"damaged or no archive|found 11 with"):
            speech.fsdd()


def test_it_is_downloaded_checked_and_kept(few, cache, monkeypatch, capfd, tmp_path):
    answers = [b"<html>log in</html>", packed(few)]

    def answer(self, url, output, pooch):
        Path(output).write_bytes(answers.pop(0))

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", answer)
    kept = cache / "fsdd" / "v1.0.10.tar.gz"
    for _ in range(2):  # once downloaded, after an answer that was something else; once kept
        assert_is_few(speech.fsdd())
    answers[:] = [kept.read_bytes()]
    kept.write_bytes(answers[0][:500])
    assert_is_few(speech.fsdd())
    kept.unlink()
    answers[:] = 3 * [packed({})]
    with pytest.raises(data.ChecksumError, match="found 0 with"):
        speech.fsdd()
    assert not answers + list(kept.parent.iterdir())
    printed = "".join(capfd.readouterr())
    assert ("in the cache is damaged" in printed, str(tmp_path) in printed) == (True, False)


def test_without_a_network_the_stand_in_is_announced(few, standin, monkeypatch, capsys):
    monkeypatch.setattr(speech, "_synthesised", lambda: standin)
    assert speech.fsdd() is standin
    said = r"stand-in: the Free .* cannot be had \(no network.*\n"
    assert re.fullmatch(said, capsys.readouterr().out)
    speech.fsdd(standin=True)
    assert re.fullmatch("stand-in, as asked: .*synthesised voices.*\n", capsys.readouterr().out)


def test_the_stand_in(standin):
    again = speech.fsdd(standin=True)
    assert all(map(np.array_equal, standin.recordings, again.recordings))
    rows = set(zip(standin.labels, standin.speakers, standin.takes))
    assert rows == {(d, f"voice{v}", k) for d in range(10) for v in range(6) for k in range(12)}
    for x in standin.recordings:
        assert (x.dtype, 0.1 < abs(x).max() <= 1, 1000 < len(x) < 8000) == (np.float32, True, True)
    assert (standin.standin, standin.sha256, len(repr(standin)) < 100) == (True, None, True)


def test_the_digits_and_the_voices_of_the_stand_in_differ(standin):
    x = np.stack([f.mean(0) - f.mean() for f in log_mel(standin.recordings, 8000)])

    def accuracy(answers, train, test):
        names = np.unique(answers)
        means = np.stack([x[train & (answers == name)].mean(0) for name in names])
        nearest = ((x[test][:, None] - means) ** 2).sum(2).argmin(1)
        return (names[nearest] == answers[test]).mean()

    assert accuracy(standin.labels, *standin.official()) > 0.6  # by chance 0.1
    assert accuracy(standin.speakers, *standin.official()) > 0.4  # by chance 1 / 6
    for voice in np.unique(standin.speakers):
        assert accuracy(standin.labels, *standin.leave_out(voice)) > 0.3


def test_the_masks(standin):
    for (train, test), column, held in (
        (standin.official(), standin.takes, {0, 1, 2, 3, 4}),
        (standin.leave_out("voice3"), standin.speakers, {"voice3"}),
    ):
        assert np.array_equal(train, ~test)
        assert (set(column[test]), held & set(column[train])) == (held, set())
    with pytest.raises(ValueError, match="no speaker 'x'; there are: voice0, voice1"):
        standin.leave_out("x")


def recordings_in(waveform, spoken):
    """Where each recording of spoken lies in a waveform: [(start, number)], sorted."""
    found, content = [], waveform.tobytes()
    for k, x in enumerate(spoken.recordings):
        end = 0
        while (start := content.find(x.tobytes(), end)) >= 0:
            found.append((start // 4, k))
            end = start + x.nbytes
    return sorted(found)


def test_connected_digits_are_recordings_of_these_takes_and_faint_pauses(standin):
    waveforms, targets = speech.connected(standin, 20, takes=range(5, 12), seed=0)
    assert {len(t.split()) for t in targets} == set(range(3, 8))
    assert set(" ".join(targets).split()) == set(speech.WORDS)
    for x, target in zip(waveforms, targets):
        inside = recordings_in(x, standin)
        chosen = [k for _, k in inside]
        assert " ".join(speech.WORDS[standin.labels[k]] for k in chosen) == target
        assert min(standin.takes[chosen]) >= 5
        assert len(set(standin.speakers[chosen])) > 1
        end = 0
        for start, k in [*inside, (len(x), None)]:
            assert 400 <= start - end <= 2400
            assert 0 < np.abs(x[end:start]).max() < 1e-3
            end = start + len(standin.recordings[k]) if k is not None else end


def test_connected_digits_are_drawn_by_the_seed_alone(standin):
    def draw(n=5, **options):
        return speech.connected(standin, n, **{"takes": range(5), "seed": 1} | options)

    (first, said), (again, same) = draw(), draw(3)
    assert same == said[:3] != draw(3, seed=2)[1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    alone = draw(1, digits=(1, 1), silence=(0, 0))[0][0]
    assert any(np.array_equal(alone, x) for x in standin.recordings)
    with pytest.raises(ValueError, match=r"no recordings of the takes \[12, 13\]"):
        draw(takes=range(12, 14))
    for bad in ({"n": -1}, {"digits": (0, 3)}, {"digits": (4, 3)}, {"silence": (0.2, 0.1)}):
        with pytest.raises(ValueError, match="expected n of at least 0"):
            draw(**bad)
