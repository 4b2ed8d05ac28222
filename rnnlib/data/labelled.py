"""Sequences of unequal length, each with one label.

Where the real data cannot be had, or at smoke scale, synthetic sequences drawn from a fixed
seed stand in for it. The loaders say so in one line.
"""

from dataclasses import dataclass, field

import numpy as np

from rnnlib.data.errors import DataError
from rnnlib.data.registry import DATASETS
from rnnlib.data.store import obtain

_VOWELS = "tsc/JapaneseVowels"
_SPEAKERS, _COEFFICIENTS = 9, 12
_TEST_COUNTS = (31, 35, 88, 44, 29, 24, 40, 50, 29)  # as in the real test part


@dataclass(frozen=True)
class Labelled:
    """Sequences with labels, split into a part to train on and a part to test on.

    Attributes
    ----------
    name : str
        The data set's.
    train, test : list of numpy.ndarray
        float32, shape (T_i, I) each; T_i differs, I does not.
    train_labels, test_labels : numpy.ndarray
        int64, one label 0..classes - 1 for each sequence.
    classes : int
        How many different labels there are.
    standin : bool
        Whether synthetic sequences stand in for the real ones.
    sha256 : str or None
        Checksum of the data set; None for the stand-in.
    """

    name: str
    train: list = field(repr=False)
    train_labels: np.ndarray = field(repr=False)
    test: list = field(repr=False)
    test_labels: np.ndarray = field(repr=False)
    classes: int
    standin: bool
    sha256: str | None


def japanese_vowels(standin=False):
    """Load Japanese Vowels: who of nine men says the two vowels /ae/?

    An utterance is a sequence of 7 to 29 frames, 6.4 ms apart, of 12 LPC cepstrum
    coefficients each. The split is the published one: 270 utterances to train on, 30 for
    each speaker, and 370 to test on.

    Parameters
    ----------
    standin : bool
        Use synthetic sequences of the same shapes instead, which need no download.

    Returns
    -------
    Labelled
        With I = 12 and 9 classes; the labels are the speakers, counted from 0.

    Raises
    ------
    rnnlib.data.DataError
        If a file is there but is not the expected one. If it cannot be had, a line says
        so and the stand-in is returned.

    References
    ----------
    M. Kudo, J. Toyama, M. Shimbo, Multidimensional curve classification using
    passing-through regions, Pattern Recognition Letters 20, 1999.
    """
    paths = obtain(_VOWELS, standin, "a set of synthetic glides between two sounds")
    if paths is None:
        return Labelled(_VOWELS, *_glides(), _SPEAKERS, True, None)
    parts = [part for path in paths for part in read_ts(path)]
    return Labelled(_VOWELS, *parts, _SPEAKERS, False, DATASETS[_VOWELS].sha256)


def read_ts(path):
    """Read sequences and labels from a file in the ``.ts`` form of the UEA archive.

    After a line ``@data`` each line is one sequence: its dimensions, separated by colons,
    each with its values separated by commas, and last its label, an integer from 1.

    Parameters
    ----------
    path : path_like
        The file, in UTF-8.

    Returns
    -------
    sequences : list of numpy.ndarray
        float32, shape (T_i, I).
    labels : numpy.ndarray
        int64, shape (N,), counted from 0.

    Raises
    ------
    rnnlib.data.DataError
        If the file is not of this form, or the dimensions of a sequence differ in length
        or in number from the others.
    """
    sequences, labels, inside = [], [], False
    with open(path, encoding="utf8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if inside and line:
                try:
                    *dimensions, label = line.split(":")
                    rows = [np.array(row.split(","), np.float32) for row in dimensions]
                    sequences.append(np.stack(rows, axis=1))  # (T_i, I)
                    labels.append(int(label) - 1)
                except ValueError as error:
                    raise DataError(f"line {number} is not dimensions:label ({error})") from error
                found, expected = sequences[-1].shape[1], sequences[0].shape[1]
                if found != expected:
                    raise DataError(f"line {number}: expected {expected} dimensions, got {found}")
            inside = inside or line.lower() == "@data"
    if not sequences:
        raise DataError("expected a line @data and sequences after it, found none")
    return sequences, np.array(labels, np.int64)


def _glides():
    """Each class glides from one point to another; the same on every machine."""
    rng = np.random.default_rng(1999)
    ends = rng.normal(size=(_SPEAKERS, 2, _COEFFICIENTS))
    counts = np.full(_SPEAKERS, 30), np.array(_TEST_COUNTS)
    for part in counts:
        labels = np.repeat(np.arange(_SPEAKERS), part)
        sequences = []
        for label in labels:
            T = int(rng.integers(7, 30))
            turn = rng.uniform(0.3, 0.7)
            way = 1 / (1 + np.exp(-10 * (np.linspace(0, 1, T) - turn)))  # (T,)
            first, second = ends[label] + 0.5 * rng.normal(size=(2, _COEFFICIENTS))
            x = first + way[:, None] * (second - first)
            sequences.append((x + 0.2 * rng.normal(size=x.shape)).astype(np.float32))
        yield sequences
        yield labels
