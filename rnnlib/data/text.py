"""Running text and names, with what a character model needs to read them.

Where the real data cannot be had, or at smoke scale, real text that every machine has
stands in for it: Python's own documentation for the texts, the names of letters in the
Unicode database for the surnames. The loaders say so in one line.
"""

import functools
import math
import re
import unicodedata
from dataclasses import dataclass, field

import numpy as np

from rnnlib.data.registry import DATASETS
from rnnlib.data.store import obtain

_DOCUMENTATION_SIZE = 300_000  # characters
_PLAIN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-"})
_SCRIPTS = (
    "ARABIC|ARMENIAN|BOPOMOFO|CHEROKEE|CYRILLIC|DEVANAGARI|ETHIOPIC|GEORGIAN|GREEK|"
    "HEBREW|HIRAGANA|MONGOLIAN|OGHAM|RUNIC|SINHALA|SYRIAC|THAANA|THAI"
)


def tiny_shakespeare(standin=False):
    """Load Tiny Shakespeare: 1,115,394 characters of Shakespeare's plays, 65 distinct.

    Parameters
    ----------
    standin : bool
        Use Python's own documentation instead, which needs no download.

    Returns
    -------
    Text

    Raises
    ------
    rnnlib.data.DataError
        If a file is there but is not the expected one. If it cannot be had, a line says
        so and the stand-in is returned.

    References
    ----------
    A. Karpathy, The unreasonable effectiveness of recurrent neural networks, 2015.
    """
    return _load_text("tinyshakespeare", standin)


def time_machine(standin=False):
    """Load *The Time Machine* by H. G. Wells: 178,979 characters, 70 distinct.

    Parameters, return value and errors are those of :func:`tiny_shakespeare`.
    """
    return _load_text("time_machine", standin)


def names(standin=False):
    """Load 20,050 surnames of 18 languages, as published, in Latin letters.

    Many occur more than once: of the 2,000 Arabic ones 108 are distinct, and some belong
    to several languages. Split by distinct names if you measure generalisation.

    Parameters
    ----------
    standin : bool
        Use the names of letters, labelled with their script, which needs no download.

    Returns
    -------
    Names

    Raises
    ------
    rnnlib.data.DataError
        If a file is there but is not the expected one.

    References
    ----------
    S. Robertson, Practical PyTorch, 2017.
    """
    paths = obtain("names", standin, "Unicode's list of letter names")
    if paths is None:
        return Names("names", _letter_names(), True, None)
    pairs = [
        (line.strip(), path.stem)
        for path in paths
        for line in path.read_bytes().decode("utf8").split("\n")
        if line.strip()
    ]
    return Names("names", pairs, False, DATASETS["names"].sha256)


@dataclass(frozen=True)
class Names:
    """Names, each with its language.

    Attributes
    ----------
    name : str
        The data set's.
    pairs : list of (str, str)
        Surname and language.
    standin : bool
        Whether these are letters and scripts instead.
    sha256 : str or None
        Checksum of the data set; None for the stand-in.
    """

    name: str
    pairs: list = field(repr=False)
    standin: bool
    sha256: str | None

    @functools.cached_property
    def languages(self):
        """The languages, sorted: list of str."""
        return sorted({language for _, language in self.pairs})


@dataclass(frozen=True)
class Text:
    """A text and its characters as numbers.

    Attributes
    ----------
    name : str
        The data set's.
    text : str
        All of it.
    standin : bool
        Whether another text stands in for the real one.
    sha256 : str or None
        Checksum of the data set; None for the stand-in.
    """

    name: str
    text: str = field(repr=False)
    standin: bool
    sha256: str | None

    @functools.cached_property
    def vocabulary(self):
        """The V distinct characters of the whole text, sorted: list of str.

        The part that :meth:`split` holds out counts too, so no character there is
        unknown. A model learns from this that a character exists, and nothing more.
        """
        return sorted(set(self.text))

    @functools.cached_property
    def _codes(self):
        return _code_points("".join(self.vocabulary))

    def encode(self, text):
        """Turn a string into the ids of its characters.

        Parameters
        ----------
        text : str
            Any length, zero included.

        Returns
        -------
        numpy.ndarray
            int64, shape (len(text),), values 0..V-1.

        Raises
        ------
        ValueError
            If a character is not in the vocabulary.
        """
        codes = _code_points(text)
        ids = np.searchsorted(self._codes, codes)
        known = np.isin(codes, self._codes)
        if not known.all():
            position = int(np.argmin(known))
            raise ValueError(
                f"character {text[position]!r} at position {position} is not among the "
                f"{len(self.vocabulary)} characters of {self.name}"
            )
        return ids.astype(np.int64)

    def decode(self, ids):
        """Turn ids back into a string; the inverse of :meth:`encode`.

        Parameters
        ----------
        ids : array_like of int
            Shape (T,), values 0..V-1.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            If the ids are no integers, have another shape, or are out of range.
        """
        ids = np.asarray(ids)
        if ids.ndim != 1:
            raise ValueError(f"expected ids of shape (T,), got {ids.shape}: one sequence at a time")
        if ids.size == 0:
            return ""
        if ids.dtype.kind not in "iu":
            raise ValueError(f"expected integer ids, got {ids.dtype}: scores or probabilities?")
        wrong = (ids < 0) | (ids >= len(self.vocabulary))
        if wrong.any():
            position = int(np.argmax(wrong))
            raise ValueError(
                f"expected ids in 0..{len(self.vocabulary) - 1}, "
                f"got {ids[position]} at position {position}"
            )
        return "".join(self.vocabulary[i] for i in ids)

    def split(self, held_out=0.1):
        """Encode the text and hold out its last part, so that the test lies in the future.

        Parameters
        ----------
        held_out : float
            The fraction to hold out, between 0 and 1.

        Returns
        -------
        train_ids, test_ids : numpy.ndarray
            int64, shapes (n,) and (N - n,), with n = floor(N (1 - held_out)).

        Raises
        ------
        ValueError
            If the fraction is not between 0 and 1, or leaves a part empty.
        """
        if not 0 < held_out < 1:
            raise ValueError(f"expected held_out between 0 and 1, both excluded, got {held_out}")
        n = math.floor(len(self.text) * (1 - held_out) + 1e-9)  # 1 - 0.9 is just below 0.1
        if not 0 < n < len(self.text):
            raise ValueError(
                f"held_out={held_out} of {len(self.text)} characters leaves {n} to train on "
                f"and {len(self.text) - n} to test on: expected at least one of each"
            )
        ids = self.encode(self.text)
        return ids[:n], ids[n:]


def _load_text(name, standin):
    paths = obtain(name, standin, "Python's own documentation")
    if paths is None:
        return Text(name, _documentation(), True, None)
    # Bytes, because text mode would change line ends on some systems.
    return Text(name, paths[0].read_bytes().decode("utf8"), False, DATASETS[name].sha256)


def _code_points(text):
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _documentation():
    """Python's reference on its own language, in printable ASCII; it varies by version."""
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[key].strip() for key in sorted(topics)).translate(_PLAIN)
    text = unicodedata.normalize("NFKD", text)
    return re.sub(r"[^\n -~]", "", text)[:_DOCUMENTATION_SIZE]


def _letter_names():
    """Pairs such as ("Alpha", "Greek"), from a version of Unicode that all Pythons have."""
    pattern = re.compile(
        rf"({_SCRIPTS}) (?:(?:SMALL |CAPITAL )?LETTER|CHARACTER|SYLLABLE) "
        r"([A-Z]+(?: [A-Z]+)?)"
    )
    found = (pattern.fullmatch(unicodedata.ucd_3_2_0.name(chr(code), "")) for code in range(0x3200))
    return sorted({(m[2].title(), m[1].title()) for m in found if m}, key=lambda p: (p[1], p[0]))
