"""Data: found, checked, downloaded, listed; and what happens when any of it fails."""

import errno
import hashlib
import http.server
import io
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pooch
import pytest

from rnnlib import data
from rnnlib.data import text
from rnnlib.data.registry import Dataset, File

MIRROR = os.environ.get("RNNLIB_DATA")
BODY = b"To be, or not to be.\n" * 500
TAMPERED = b"To bee, or not to be\n" * 500
pytestmark = pytest.mark.usefixtures("cache")


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server():
    """Serve ``server.answers`` (status, body, bytes withheld) in turn, the last for ever."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            answers = self.server.answers
            status, body, withheld = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) - withheld])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answers = 0, [(200, BODY, 0)]
    server.url = f"http://127.0.0.1:{server.server_port}/input.txt"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def play(server, monkeypatch):
    """Let "tinyshakespeare" be one small file of the local server."""
    file = File("input.txt", server.url, len(BODY), sha256(BODY))
    dataset = Dataset("tinyshakespeare", "Tiny Shakespeare", (file,), "-", "-", "-", "-")
    monkeypatch.setitem(data.DATASETS, "tinyshakespeare", dataset)
    return dataset


def files_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def refuse(monkeypatch, code):
    """Have the operating system refuse to write any part of a download."""

    def raise_it(self, url, output, pooch):
        Path(output).write_bytes(BODY[:100])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", raise_it)


def assert_stands_in(capsys, tmp_path, reason):
    """Expect the stand-in, announced in one line that holds no path of this machine."""
    capsys.readouterr()
    loaded = text.tiny_shakespeare()
    printed = capsys.readouterr()
    said = [line for line in re.split("[\r\n]", printed.out) if line.startswith("stand-in")]
    assert loaded.standin
    assert loaded.sha256 is None
    assert len(said) == 1
    for part in ("Tiny Shakespeare", reason, "documentation", "data fetch tinyshakespeare"):
        assert part in said[0]
    assert str(tmp_path) not in printed.out + printed.err


# Where a file is found


def test_the_mirror_comes_first(play, mirror, server, cache):
    path = mirror(BODY)
    assert data.fetch("tinyshakespeare") == [path]
    assert server.asked == 0
    assert not cache.exists()


def test_a_mirror_without_the_file_is_passed_over(play, mirror, server):
    mirror(b"", "other/file.txt")
    assert data.fetch("tinyshakespeare")[0].read_bytes() == BODY
    assert server.asked == 1


def test_a_download_is_kept_and_used_again(play, server, cache, capsys, tmp_path, monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(pooch.get_logger().handlers[0], "stream", log)
    paths = data.fetch("tinyshakespeare")
    assert paths == [cache / "tinyshakespeare" / "input.txt"]
    assert files_in(cache) == ["tinyshakespeare/input.txt"]
    printed = capsys.readouterr()
    assert re.search(r"input\.txt: .*%\|", printed.out), "no progress bar"
    assert str(tmp_path) not in printed.out + printed.err + log.getvalue()
    assert data.fetch("tinyshakespeare") == paths
    assert server.asked == 1


def test_loaded_text_is_what_was_published(play, server):
    server.answers = [(200, BODY.replace(b"\n", b"\r\n"), 0)]
    body = server.answers[0][1]
    file = File("input.txt", server.url, len(body), sha256(body))
    data.DATASETS["tinyshakespeare"] = Dataset("tinyshakespeare", "", (file,), "", "", "", "")
    loaded = text.tiny_shakespeare()
    assert loaded.text.encode() == body
    assert (loaded.name, loaded.standin) == ("tinyshakespeare", False)
    assert loaded.sha256 == sha256(body)


def test_a_full_cache_needs_no_place_to_write(play, monkeypatch):
    data.fetch("tinyshakespeare")
    refuse(monkeypatch, errno.EROFS)
    assert not text.tiny_shakespeare().standin


# What is there but wrong


def test_a_wrong_file_in_the_mirror_is_an_error(play, mirror, server, capsys):
    path = mirror(TAMPERED)
    with pytest.raises(data.ChecksumError) as caught:
        text.tiny_shakespeare()
    for part in (sha256(BODY), sha256(TAMPERED), server.url, "RNNLIB_DATA"):
        assert part in str(caught.value)
    assert path.read_bytes() == TAMPERED
    assert server.asked == 0
    assert "stand-in" not in capsys.readouterr().out


def test_a_mirror_that_is_no_folder_is_an_error(play, tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLIB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(data.DataError, match="nowhere, which is not a folder"):
        text.tiny_shakespeare()
    with pytest.raises(data.DataError, match="RNNLIB_DATA"):
        data.status()
    assert text.tiny_shakespeare(standin=True).standin


def test_an_unreadable_file_in_the_mirror_is_an_error(play, mirror, monkeypatch):
    mirror(BODY)

    def deny(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("rnnlib.data.store._sha256", deny)
    with pytest.raises(data.DataError, match=r"cannot be read \(Permission denied\)"):
        text.tiny_shakespeare()


@pytest.mark.parametrize("damaged", [BODY[:-7], TAMPERED, b""])
def test_a_damaged_file_in_the_cache_is_fetched_anew(play, server, cache, capsys, damaged):
    data.fetch("tinyshakespeare")[0].write_bytes(damaged)
    assert data.fetch("tinyshakespeare")[0].read_bytes() == BODY
    assert server.asked == 2
    assert "damaged" in capsys.readouterr().out


def test_a_damaged_file_is_not_used_when_it_cannot_be_fetched(play, server, capsys, tmp_path):
    data.fetch("tinyshakespeare")[0].write_bytes(TAMPERED)
    server.answers = [(503, b"", 0)]
    assert_stands_in(capsys, tmp_path, "the server answers 503")


def test_a_download_with_the_wrong_checksum_is_an_error(play, server, cache, capsys):
    server.answers = [(200, TAMPERED, 0)]
    with pytest.raises(data.ChecksumError) as caught:
        text.tiny_shakespeare()
    by_hand = ("By hand", str(cache / "tinyshakespeare" / "input.txt"), "RNNLIB_DATA")
    for part in (server.url, sha256(BODY), sha256(TAMPERED), *by_hand):
        assert part in str(caught.value)
    assert server.asked == 3
    assert files_in(cache) == []
    assert "stand-in" not in capsys.readouterr().out


# What breaks off


@pytest.mark.parametrize("first", [(500, b"", 0), (200, BODY, 5000), (200, TAMPERED, 0)])
def test_a_failed_download_is_tried_again(play, server, cache, first):
    server.answers = [first, (200, BODY, 0)]
    assert data.fetch("tinyshakespeare")[0].read_bytes() == BODY
    assert server.asked == 2
    assert files_in(cache) == ["tinyshakespeare/input.txt"]


def test_a_truncated_download_leaves_nothing(play, server, cache):
    server.answers = [(200, BODY, 5000)]
    with pytest.raises(data.DataError, match="input.txt"):
        data.fetch("tinyshakespeare")
    assert files_in(cache) == []
    server.answers = [(200, BODY, 0)]
    assert data.fetch("tinyshakespeare")[0].read_bytes() == BODY


def test_an_interrupted_download_leaves_nothing(play, server, cache, monkeypatch):
    def interrupt(self, url, output, pooch):
        Path(output).write_bytes(BODY[:100])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pooch.HTTPDownloader.__call__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            data.fetch("tinyshakespeare")
    assert files_in(cache) == []
    assert data.fetch("tinyshakespeare")[0].read_bytes() == BODY


# What cannot be had


def test_the_error_names_the_address_and_the_manual_step(play, server, cache):
    server.answers = [(404, b"", 0)]
    with pytest.raises(data.UnavailableError) as caught:
        data.fetch("tinyshakespeare")
    by_hand = ("By hand", str(cache / "tinyshakespeare" / "input.txt"), "RNNLIB_DATA")
    for part in (server.url, "the server answers 404", sha256(BODY), *by_hand):
        assert part in str(caught.value)


def test_without_network_the_standin_is_used(play, server, cache, capsys, tmp_path):
    server.shutdown()
    server.server_close()
    assert_stands_in(capsys, tmp_path, "no network")
    assert files_in(cache) == []


def test_a_cache_that_is_no_folder(play, cache, capsys, tmp_path):
    cache.write_text("a file where the folder should be")
    assert_stands_in(capsys, tmp_path, "the cache folder cannot be used")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_cache_that_cannot_be_made(play, capsys, tmp_path, monkeypatch, code):
    def refuse_folder(path, **_):
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr("os.makedirs", refuse_folder)
    assert_stands_in(capsys, tmp_path, "the cache folder is not writable")


def test_a_damaged_file_in_a_read_only_cache(play, capsys, tmp_path, monkeypatch):
    data.fetch("tinyshakespeare")[0].write_bytes(TAMPERED)

    def deny(self, **_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr("pathlib.Path.unlink", deny)
    assert_stands_in(capsys, tmp_path, "the cache folder is not writable")


def test_a_full_disk(play, cache, capsys, tmp_path, monkeypatch):
    refuse(monkeypatch, errno.ENOSPC)
    assert_stands_in(capsys, tmp_path, "the disk is full")
    assert files_in(cache) == []


def test_an_unknown_name():
    with pytest.raises(ValueError, match="no data set 'shakespeare'; there are: tinysh"):
        data.fetch("shakespeare")


# The registry and the list


def test_status_says_what_is_here(play, mirror, server, cache):
    def where(name="tinyshakespeare"):
        return {row["name"]: row["where"] for row in data.status()}[name]

    assert where() == "absent"
    path = data.fetch("tinyshakespeare")[0]
    assert where() == "cache"
    path.write_bytes(b"half of it")
    assert where() == "damaged"
    mirror(BODY)
    assert where() == "mirror"
    path = cache / "names" / "names" / "Polish.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 1165)
    assert where("names") == "in part"


def test_status_describes_every_data_set():
    rows = {row["name"]: row for row in data.status()}
    assert list(rows) == [
        *("tinyshakespeare", "time_machine", "names", "tsc/JapaneseVowels"),
        *("multi30k", "tatoeba_cmn_eng"),
    ]
    assert rows["names"]["bytes"] == 163_419
    keys = {"name", "title", "bytes", "licence", "citation", "source", "description", "where"}
    assert all(set(row) == keys and all(row.values()) for row in rows.values())


def test_the_registry_is_pinned():
    for dataset in data.DATASETS.values():
        assert len({file.name for file in dataset.files}) == len(dataset.files) > 0
        for file in dataset.files:
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert file.bytes > 0
            if "raw.githubusercontent.com" in file.url:
                assert re.search("/[0-9a-f]{40}/", file.url)
    assert len(data.DATASETS["names"].files) == 18


def test_importing_is_light():
    """Neither PyTorch nor pooch, for a list or a stand-in needs neither."""
    heavy = "{'torch', 'pooch', 'requests', 'matplotlib', 'tqdm'}"
    code = f"import sys, rnnlib.data.text; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.skipif(not MIRROR, reason="RNNLIB_DATA is not set: no real data to count")
def test_the_real_data_is_what_the_docstrings_say(monkeypatch):
    monkeypatch.setenv("RNNLIB_DATA", MIRROR)
    shakespeare, wells, surnames = text.tiny_shakespeare(), text.time_machine(), text.names()
    assert [len(shakespeare.text), len(shakespeare.vocabulary)] == [1_115_394, 65]
    assert shakespeare.text.count("\n") == 40_000
    assert [len(wells.text), len(wells.vocabulary)] == [178_979, 70]
    assert [len(surnames.pairs), len(surnames.languages)] == [20_050, 18]
    arabic = [name for name, language in surnames.pairs if language == "Arabic"]
    assert [len(arabic), len(set(arabic))] == [2000, 108]
    assert not any(loaded.standin for loaded in (shakespeare, wells, surnames))
