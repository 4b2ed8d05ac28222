"""Where data lies: in your own mirror, in the cache, or still with its publisher.

A file is looked for in the folder that RNNLIB_DATA names, then in the cache (the
folder that RNNLIB_CACHE names, else the system's cache folder), each laid out as
``<data set>/<file>``; then it is downloaded into the cache. Its sha256 is checked
before use in all three cases:

- A wrong file in the mirror, or a download that stays wrong when it is tried again,
  raises :class:`ChecksumError`. To train on something else without a word would hide
  it, and a mirror is yours: it is never written to.
- A damaged file in the cache is deleted and fetched anew.
- What cannot be had (no network, full disk, cache not writable) raises
  :class:`UnavailableError`; the loaders announce it and use their stand-in.
"""

import contextlib
import hashlib
import os
import sys
from pathlib import Path

from rnnlib.data.errors import ChecksumError, DataError, UnavailableError, disk_reason
from rnnlib.data.registry import DATASETS

_RETRIES = 2
_TIMEOUT = (10, 30)  # seconds to connect, seconds between two pieces


def fetch(name):
    """Return the files of a data set, checked; download what is missing.

    Parameters
    ----------
    name : str
        A key of :data:`rnnlib.data.DATASETS`.

    Returns
    -------
    list of Path
        In the registry's order.

    Raises
    ------
    ValueError
        If there is no such data set.
    ChecksumError
        If a file in RNNLIB_DATA, or a download, is not the expected one.
    UnavailableError
        If a file cannot be downloaded or kept.
    DataError
        If RNNLIB_DATA names no folder, or a file in it cannot be read.
    """
    if name not in DATASETS:
        raise ValueError(f"no data set {name!r}; there are: {', '.join(DATASETS)}")
    mirror = mirror_folder()
    return [_find_file(DATASETS[name], file, mirror) for file in DATASETS[name].files]


def obtain(name, standin, substitute):
    """Fetch a data set for a loader, or announce in one line what stands in for it.

    Parameters
    ----------
    name : str
        A key of :data:`rnnlib.data.DATASETS`.
    standin : bool
        Ask for the stand-in without looking for the data.
    substitute : str
        What stands in, as the subject of a sentence in the singular.

    Returns
    -------
    list of Path or None
        None where the caller has to use its stand-in.

    Raises
    ------
    ChecksumError, DataError
        As :func:`fetch` does for data that is there but wrong.
    """
    title = DATASETS[name].title
    if standin:
        print(f"stand-in, as asked: {substitute} is used in place of {title}")
        return None
    try:
        return fetch(name)
    except UnavailableError as error:
        print(
            f"stand-in: {title} cannot be had ({error.reason}), so {substitute} is used; "
            f"`python -m rnnlib data fetch {name}` says what to do"
        )
        return None


def status():
    """List the data sets: what they are, and whether they are here.

    Returns
    -------
    list of dict
        ``name``, ``title``, ``bytes``, ``licence``, ``citation``, ``source``,
        ``description`` and ``where``: "mirror" or "cache" if all of it is there (in
        part from the mirror counts as cache), "in part", "damaged" if a file has the
        wrong size, or "absent". Checksums are left to :func:`fetch`.

    Raises
    ------
    DataError
        If RNNLIB_DATA names no folder.
    """
    mirror, cache = mirror_folder(), cache_folder()
    fields = ("name", "title", "bytes", "licence", "citation", "source", "description")
    return [
        {field: getattr(dataset, field) for field in fields}
        | {"where": _where(dataset, mirror, cache)}
        for dataset in DATASETS.values()
    ]


def mirror_folder():
    """Return the folder that RNNLIB_DATA names, or None if it is not set.

    Raises
    ------
    DataError
        If it names no folder.
    """
    if not os.environ.get("RNNLIB_DATA"):
        return None
    folder = Path(os.environ["RNNLIB_DATA"]).expanduser()
    if not folder.is_dir():
        raise DataError(
            f"RNNLIB_DATA names {folder}, which is not a folder: correct it, or unset it "
            "to use the cache and downloads"
        )
    return folder


def cache_folder():
    """Return the folder for downloads; it need not exist yet."""
    if os.environ.get("RNNLIB_CACHE"):
        return Path(os.environ["RNNLIB_CACHE"]).expanduser()
    import pooch

    return pooch.os_cache("rnnlib")


def _find_file(dataset, file, mirror):
    shown = f"{dataset.name}/{file.name}"
    if mirror and os.path.isfile(mirror / shown):
        try:
            found = _sha256(mirror / shown)
        except OSError as error:
            raise DataError(f"{shown} in RNNLIB_DATA cannot be read ({error.strerror})") from error
        if found != file.sha256:
            raise ChecksumError(
                f"{shown} in the folder that RNNLIB_DATA names is not the expected file: "
                f"expected sha256 {file.sha256}, found {found}. Replace it by {file.url}, "
                "or delete it to have it downloaded"
            )
        return mirror / shown
    path = cache_folder() / dataset.name / file.name
    try:
        if os.path.isfile(path):
            if _sha256(path) == file.sha256:
                return path
            print(f"{shown} in the cache is damaged: fetching it anew")
            path.unlink()
        _download(dataset, file, path)
    except OSError as error:
        raise _unavailable(disk_reason(error), file, path) from error
    return path


def _download(dataset, file, path):
    """Download through pooch: to a temporary file, checked, then moved into place."""
    import pooch
    import requests

    def download(url, output, _):
        with _progress(file) as bar:
            pooch.HTTPDownloader(bar, chunk_size=2**16, timeout=_TIMEOUT)(url, output, None)
        found = _sha256(output)
        if found != file.sha256:  # a ValueError, so pooch tries again
            raise ChecksumError(
                f"{url} did not send the expected file: expected {file.bytes:,} bytes with "
                f"sha256 {file.sha256}, found {os.path.getsize(output):,} bytes with {found}. "
                "The download was deleted. A log-in page or proxy may have answered in the "
                f"publisher's place; if not, the file has changed there. {_by_hand(file, path)}"
            )

    keeper = pooch.create(
        cache_folder() / dataset.name,
        base_url="",
        registry={file.name: f"sha256:{file.sha256}"},
        urls={file.name: file.url},
        retry_if_failed=_RETRIES,
    )
    try:
        with _quiet(pooch.get_logger()):
            keeper.fetch(file.name, downloader=download)
    except (requests.RequestException, ConnectionError, TimeoutError) as error:
        raise _unavailable(_network_reason(error), file, path) from error


def _progress(file):
    from tqdm import tqdm

    label = file.name.rsplit("/", 1)[-1]
    options = {"unit": "B", "unit_scale": True, "ncols": 72, "leave": False}
    return tqdm(desc=label, total=file.bytes, file=sys.stdout, **options)


@contextlib.contextmanager
def _quiet(logger):
    """Keep pooch from writing paths of this machine into notebooks."""
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


def _network_reason(error):
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code}"
    if "Chunked" in type(error).__name__:
        return "the download broke off"
    return "no network, or the server does not answer"


def _unavailable(reason, file, path):
    message = f"{file.url} cannot be had: {reason}. {_by_hand(file, path)}"
    return UnavailableError(reason, message)


def _by_hand(file, path):
    shown = path.relative_to(cache_folder()).as_posix()
    return (
        f"By hand: download {file.url} (sha256 {file.sha256}) and save it as {path}, or as "
        f"{shown} in a folder of your own that the environment variable RNNLIB_DATA names"
    )


def _sha256(path):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _where(dataset, mirror, cache):
    places = {_place(dataset, file, mirror, cache) for file in dataset.files}
    if "damaged" in places:
        return "damaged"
    if "absent" in places:
        return "in part" if len(places) > 1 else "absent"
    return "cache" if "cache" in places else "mirror"


def _place(dataset, file, mirror, cache):
    for place, folder in (("mirror", mirror), ("cache", cache)):
        path = folder / dataset.name / file.name if folder else None
        if path and os.path.isfile(path):
            return place if path.stat().st_size == file.bytes else "damaged"
    return "absent"
