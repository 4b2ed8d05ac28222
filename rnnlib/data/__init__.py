"""The course's data: one place that finds, checks or downloads it, and loaders.

:func:`fetch` returns a data set's files, :func:`status` says what is here, and
:mod:`rnnlib.data.text` holds the loaders of running text and names,
:mod:`rnnlib.data.series` those of time series, :mod:`rnnlib.data.pairs` those of sentences with
their translations, and :mod:`rnnlib.data.tasks` draws synthetic tasks.
"""

from rnnlib.data.archives import unpack
from rnnlib.data.errors import ChecksumError, DataError, UnavailableError
from rnnlib.data.registry import DATASETS
from rnnlib.data.store import fetch, obtain, status

__all__ = [
    "DATASETS",
    "ChecksumError",
    "DataError",
    "UnavailableError",
    "fetch",
    "obtain",
    "status",
    "unpack",
]
