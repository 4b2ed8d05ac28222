"""Sentences in two languages: each a source and its translation.

Where the real data cannot be had, or at smoke scale, dates and quantities written out in both
languages stand in for it: CLDR (through Babel) and num2words know real words, and more pairs
than anyone can train on. The loaders say so in one line.
"""

import gzip
import re
import zipfile
from dataclasses import dataclass, field

import numpy as np

from rnnlib.data.errors import DataError
from rnnlib.data.registry import DATASETS
from rnnlib.data.store import obtain
from rnnlib.data.written import written

_SUBSTITUTE = "a list of dates and quantities written out by CLDR and num2words"
_SIZES = (4000, 200, 200)  # of the stand-in's parts
_HELD_OUT = 1000  # groups of Tatoeba's sentences, for each of val and test


@dataclass(frozen=True)
class Pairs:
    """Sentences and their translations, in three parts.

    Attributes
    ----------
    name : str
        The data set's.
    source, target : str
        The two languages, as ISO 639-1 codes such as "de".
    train, val, test : list of (str, str)
        Source sentence and target sentence, as written: neither lower-cased nor split.
    standin : bool
        Whether dates and quantities stand in for the real sentences.
    sha256 : str or None
        Checksum of the data set; None for the stand-in.
    """

    name: str
    source: str
    target: str
    train: list = field(repr=False)
    val: list = field(repr=False)
    test: list = field(repr=False)
    standin: bool
    sha256: str | None


def multi30k(standin=False):
    """Load Multi30k: descriptions of photographs, in German and in English.

    The split is the published one: 29,000 pairs to train on, 1,014 to choose by, and the
    1,000 of the test set of 2016. The English was written first and is here the target.

    Parameters
    ----------
    standin : bool
        Use dates and quantities instead, which need no download.

    Returns
    -------
    Pairs
        From "de" to "en".

    Raises
    ------
    rnnlib.data.DataError
        If a file is there but is not the expected one. If it cannot be had, a line says
        so and the stand-in is returned.

    References
    ----------
    D. Elliott, S. Frank, K. Sima'an, L. Specia, Multi30K: multilingual English-German image
    descriptions, Workshop on Vision and Language, 2016.
    """
    paths = obtain("multi30k", standin, _SUBSTITUTE)
    if paths is None:
        return _standin("multi30k", "de", "en")
    sides = [_lines(path) for path in paths]
    parts = []
    for k in range(0, len(sides), 2):
        if len(sides[k]) != len(sides[k + 1]):
            raise DataError(
                f"{paths[k].name} and {paths[k + 1].name}: expected as many lines in both, "
                f"got {len(sides[k])} and {len(sides[k + 1])}"
            )
        parts.append(list(zip(sides[k], sides[k + 1])))
    return Pairs("multi30k", "de", "en", *parts, False, DATASETS["multi30k"].sha256)


def tatoeba(standin=False):
    """Load 24,818 English sentences with Chinese translations from Tatoeba.

    Many sentences stand there several times, with other translations. All pairs that share an
    English or a Chinese sentence, punctuation and case aside, form a group, and a group lies
    whole in one part: 1,000 groups to choose by, 1,000 to test on, the rest to train on.
    So no sentence of either side is in two parts. The characters are mixed, simplified and
    traditional, as the contributors wrote them.

    Parameters, errors and the stand-in are those of :func:`multi30k`.

    Returns
    -------
    Pairs
        From "en" to "zh".
    """
    name = "tatoeba_cmn_eng"
    paths = obtain(name, standin, _SUBSTITUTE)
    if paths is None:
        return _standin(name, "en", "zh")
    return Pairs(name, "en", "zh", *split(read_anki(paths[0])), False, DATASETS[name].sha256)


def read_anki(path):
    """Read pairs from a zip of the form that manythings.org/anki publishes.

    Its one list has a pair in each line: first sentence, second sentence and attribution,
    with tabs between them.

    Parameters
    ----------
    path : path_like
        The archive; it is read, not unpacked.

    Returns
    -------
    list of (str, str)
        Without invisible characters, in the file's order.

    Raises
    ------
    rnnlib.data.DataError
        If the archive is none, holds no such list, or a line has no tab.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            names = [n for n in opened.namelist() if re.fullmatch(r"(.*/)?[^_/][^/]*\.txt", n)]
            if len(names) != 1:
                raise DataError(f"expected one list of pairs in the archive, found {names}")
            text = opened.read(names[0]).decode("utf8")
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DataError(f"expected a zip with text in UTF-8: {error}") from error
    pairs = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            first, tab, rest = line.replace("\u200b", "").partition("\t")
            if not tab:
                raise DataError(
                    f"line {number}: expected a tab between the sentences, got {line!r}"
                )
            pairs.append((first.strip(), rest.partition("\t")[0].strip()))
    return pairs


def split(pairs, held_out=_HELD_OUT, seed=0):
    """Split pairs so that no sentence, on either side, is in two parts.

    Parameters
    ----------
    pairs : list of (str, str)
        Any number of translations of one sentence, in both directions.
    held_out : int
        Groups of connected pairs in each of the two smaller parts.
    seed : int
        Of the draw.

    Returns
    -------
    train, val, test : list of (str, str)
        Each in the order given.

    Raises
    ------
    ValueError
        If there are too few groups to leave some to train on.
    """
    groups = _groups(pairs)
    n = len(set(groups))
    if n <= 2 * held_out:
        raise ValueError(f"expected more than {2 * held_out} unconnected groups, got {n}")
    part = np.zeros(n, int)
    drawn = np.random.default_rng(seed).permutation(n)
    part[drawn[:held_out]], part[drawn[held_out : 2 * held_out]] = 1, 2
    number = {group: k for k, group in enumerate(dict.fromkeys(groups))}
    parts = [], [], []
    for pair, group in zip(pairs, groups):
        parts[part[number[group]]].append(pair)
    return parts


def bare(sentence):
    """Return a sentence without case, spaces and punctuation, to see what is the same."""
    return re.sub(r"\W+", "", sentence.casefold())


def _standin(name, source, target):
    pairs = written(sum(_SIZES), source, target, seed=30)
    train, val = _SIZES[0], _SIZES[0] + _SIZES[1]
    parts = pairs[:train], pairs[train:val], pairs[val:]
    return Pairs(name, source, target, *parts, True, None)


def _lines(path):
    """The lines of a gzipped text; only a line feed ends one."""
    try:
        text = gzip.decompress(path.read_bytes()).decode("utf8")
    except (EOFError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: expected gzipped text in UTF-8 ({error})") from error
    return [line.strip() for line in text.rstrip("\n").split("\n")]


def _groups(pairs):
    """Name for each pair its group: pairs are connected by a sentence on either side."""
    parent = {}

    def root(node):
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for first, second in pairs:
        parent[root((0, bare(first)))] = root((1, bare(second)))
    return [root((0, bare(first))) for first, _ in pairs]
