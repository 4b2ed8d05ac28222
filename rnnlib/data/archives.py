"""Unpack downloaded archives so that nothing lands outside the folder meant for it."""

import gzip
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from rnnlib.data.errors import DataError, UnavailableError, disk_reason


def unpack(archive, folder):
    """Unpack a zip or tar.gz archive into a folder of its own.

    All members are looked at before the first is written. They are unpacked beside the
    folder, which then appears in one step: if it exists, it is complete, and it is
    taken as it is. So name it after the archive's checksum.

    Parameters
    ----------
    archive : path
        The file, its own checksum already verified by :func:`rnnlib.data.fetch`.
    folder : path
        Where the members go; made here.

    Returns
    -------
    list of Path
        The files in the folder, sorted.

    Raises
    ------
    DataError
        If the archive is damaged or no archive, or has a member that is a link, a
        device, encrypted, or would leave the folder.
    UnavailableError
        If the disk is full or not writable.
    """
    archive, folder = Path(archive), Path(folder)
    if not folder.is_dir():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix="unpacking-", dir=folder.parent))
            try:
                _unpack_all(archive, part)
                _put_in_place(part, folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        except OSError as error:
            reason = disk_reason(error)
            raise UnavailableError(reason, f"cannot unpack {archive.name}: {reason}") from error
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _unpack_all(archive, folder):
    try:
        if _begins_with(archive, b"PK"):
            with zipfile.ZipFile(archive) as opened:
                for member in opened.infolist():
                    mode = stat.S_IFMT(member.external_attr >> 16)
                    plain = mode in (0, stat.S_IFREG, stat.S_IFDIR) and not member.flag_bits & 1
                    _check_member(archive, member.orig_filename, plain)
                opened.extractall(folder)
        else:
            with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as opened:
                # A second guard, missing in Python 3.11.0 to 3.11.3.
                opened.extraction_filter = getattr(tarfile, "data_filter", None)
                for member in opened.getmembers():
                    _check_member(archive, member.name, member.isfile() or member.isdir())
                opened.extractall(folder)
                while stream.read(2**20):  # gzip's checksum comes last, behind what tar reads
                    pass
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError) as error:
        if getattr(error, "errno", None):  # the disk's complaint, not the decompressor's
            raise
        raise DataError(
            f"{archive.name} is damaged or no zip or tar.gz archive: {error}"
        ) from error


def _begins_with(path, magic):
    with open(path, "rb") as stream:
        return stream.read(len(magic)) == magic


def _check_member(archive, name, plain):
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or any(c in name for c in "\\:\0"):
        raise DataError(f"{archive.name}: member {name!r} would leave its folder; not unpacked")
    if not plain:
        raise DataError(f"{archive.name}: member {name!r} is no plain file; not unpacked")


def _put_in_place(part, folder):
    try:
        os.replace(part, folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster, with the same files
            raise
