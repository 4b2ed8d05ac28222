"""Archives: unpacked whole, or refused whole with nothing left behind."""

import errno
import io
import os
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from rnnlib import data

GOOD = [("set/train.txt", b"To be, or not to be.\n" * 500), ("set/test.txt", b"")]


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
    assert paths[1].read_bytes() == GOOD[0][1]
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
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["archive"]
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
