"""Data: found, checked, downloaded, unpacked; and what happens when any of it fails."""

import errno
import hashlib
import http.server
import io
import os
import re
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pooch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlib import data
from rnnlib.data import text
from rnnlib.data.registry import Dataset, File

MIRROR = os.environ.get("RNNLIB_DATA")
BODY = b"To be, or not to be.\n" * 500
TAMPERED = b"To bee, or not to be\n" * 500


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep every test away from the user's own cache, mirror and proxy; do not wait."""
    monkeypatch.delenv("RNNLIB_DATA", raising=False)
    monkeypatch.setenv("RNNLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return tmp_path / "cache"


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


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Make a mirror that holds a file; given bytes, say which."""

    def make(content, name="tinyshakespeare/input.txt"):
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        monkeypatch.setenv("RNNLIB_DATA", str(tmp_path / "mirror"))
        return path

    return make


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
    def present(name="tinyshakespeare"):
        return {row["name"]: row["present"] for row in data.status()}[name]

    assert present() == "absent"
    path = data.fetch("tinyshakespeare")[0]
    assert present() == "cache"
    path.write_bytes(b"half of it")
    assert present() == "damaged"
    mirror(BODY)
    assert present() == "mirror"
    path = cache / "names" / "names" / "Polish.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 1165)
    assert present("names") == "in part"


def test_status_describes_every_data_set():
    rows = {row["name"]: row for row in data.status()}
    assert list(rows) == ["tinyshakespeare", "time_machine", "names", "tsc/JapaneseVowels"]
    assert rows["names"]["bytes"] == 163_419
    assert all(row[key] for row in rows.values() for key in row)


def test_the_registry_is_pinned():
    for dataset in data.DATASETS.values():
        assert len({file.name for file in dataset.files}) == len(dataset.files) > 0
        for file in dataset.files:
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert file.bytes > 0
            if "raw.githubusercontent.com" in file.url:
                assert re.search("/[0-9a-f]{40}/", file.url)
    assert len(data.DATASETS["names"].files) == 18


def test_every_citation_is_in_the_bibliography():
    bibliography = Path(__file__).parents[1] / "book" / "references.bib"
    keys = re.findall(r"^@\w+\{([^,\s]+),", bibliography.read_text(encoding="utf8"), re.MULTILINE)
    assert {dataset.citation for dataset in data.DATASETS.values()} <= set(keys)


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


# Archives


def make_tar(path, members):
    """Write a tar.gz of (name, bytes) or of TarInfo."""
    with tarfile.open(path, "w:gz") as opened:
        for member in members:
            if isinstance(member, tuple):
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                opened.addfile(info, io.BytesIO(member[1]))
            else:
                opened.addfile(member)
    return path


def make_zip(path, members):
    """Write a zip of (name or ZipInfo, bytes)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return path


def tar_info(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_info(name, mode=0):
    info = zipfile.ZipInfo(name)
    info.filename = name  # as a hostile writer would leave it
    info.external_attr = mode << 16
    return info


GOOD = [("set/train.txt", BODY), ("set/test.txt", b"")]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (make_zip, "a.zip"),
        (make_tar, "a.tar.gz"),
    ],
)
def test_unpack(tmp_path, make, name):
    archive = make(tmp_path / name, GOOD)
    folder = tmp_path / "out" / "set-1"
    paths = data.unpack(archive, folder)
    assert paths == [folder / "set" / "test.txt", folder / "set" / "train.txt"]
    assert paths[1].read_bytes() == BODY
    assert os.listdir(folder.parent) == ["set-1"]
    archive.unlink()
    assert data.unpack(archive, folder) == paths  # there already: taken as it is


TRAVERSALS = ["../evil.txt", "set/../../evil.txt", "/evil.txt", "..\\evil.txt", "C:evil.txt"]
HOSTILE = {
    **{f"tar {name}": (make_tar, [*GOOD, (name, b"evil")]) for name in TRAVERSALS},
    **{f"zip {name}": (make_zip, [*GOOD, (zip_info(name), b"evil")]) for name in TRAVERSALS},
    "tar symlink": (make_tar, [tar_info("set", tarfile.SYMTYPE, ".."), *GOOD]),
    "tar inner symlink": (make_tar, [*GOOD, tar_info("a", tarfile.SYMTYPE, "set/train.txt")]),
    "tar hard link": (make_tar, [*GOOD, tar_info("a", tarfile.LNKTYPE, "set/train.txt")]),
    "tar pipe": (make_tar, [*GOOD, tar_info("a", tarfile.FIFOTYPE)]),
    "tar device": (make_tar, [*GOOD, tar_info("a", tarfile.CHRTYPE)]),
    "zip symlink": (make_zip, [*GOOD, (zip_info("a", stat.S_IFLNK | 0o777), b"..")]),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_whole(tmp_path, case):
    make, members = HOSTILE[case]
    archive = make(tmp_path / "archive", members)
    with pytest.raises(data.DataError, match="leave its folder|no plain file") as caught:
        data.unpack(archive, tmp_path / "out" / "set")
    assert not isinstance(caught.value, data.UnavailableError)
    assert files_in(tmp_path) == ["archive"]
    assert os.listdir(tmp_path / "out") == []


def test_an_encrypted_zip_is_refused(tmp_path):
    archive = make_zip(tmp_path / "archive", GOOD)
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(data.DataError, match="no plain file"):
        data.unpack(archive, tmp_path / "out" / "set")


def flip(content):
    """Damage one byte in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


NOISE = [("noise.bin", np.random.default_rng(0).bytes(20_000))]


@pytest.mark.parametrize("damage", [flip, lambda c: c[:-3000], lambda c: b"<html>", lambda c: b""])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_damaged_archive_is_an_error(tmp_path, make, damage):
    archive = make(tmp_path / "archive", NOISE)
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(data.DataError, match="damaged or no zip or tar.gz") as caught:
        data.unpack(archive, tmp_path / "out" / "set")
    assert not isinstance(caught.value, data.UnavailableError)
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize(("make", "owner"), [(make_zip, "zipfile"), (make_tar, "tarfile")])
def test_unpacking_onto_a_full_disk_leaves_nothing(tmp_path, monkeypatch, make, owner):
    archive = make(tmp_path / "archive", GOOD)

    def fill(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patched = "shutil.copyfileobj" if owner == "zipfile" else "tarfile.copyfileobj"
    monkeypatch.setattr(patched, fill)
    with pytest.raises(data.UnavailableError, match="the disk is full"):
        data.unpack(archive, tmp_path / "out" / "set")
    assert os.listdir(tmp_path / "out") == []


def test_unpacking_when_another_process_is_faster(tmp_path, monkeypatch):
    archive, folder = make_zip(tmp_path / "archive", GOOD), tmp_path / "out" / "set"
    extract = zipfile.ZipFile.extractall

    def extract_twice(self, path):
        extract(self, path)
        extract(self, folder)

    monkeypatch.setattr("zipfile.ZipFile.extractall", extract_twice)
    assert len(data.unpack(archive, folder)) == 2
    assert os.listdir(folder.parent) == ["set"]


# Texts and names

PLAY = text.Text("play", "To be, or not to be: ½ 😀\n", False, None)


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
    assert PLAY.text not in repr(PLAY)


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
