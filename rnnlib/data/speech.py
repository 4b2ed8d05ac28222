"""Spoken digits: who says which, one at a time or joined to numbers.

Where the real recordings cannot be had, or at smoke scale, voices synthesised in NumPy from
the formants of the vowels stand in for them. The loader says so in one line.
"""

import gzip
import hashlib
import re
import tarfile
import zlib
from dataclasses import dataclass, field

import numpy as np

from rnnlib.data import store
from rnnlib.data.errors import ChecksumError, UnavailableError, disk_reason

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

_TITLE, _ARCHIVE = "the Free Spoken Digit Dataset", "v1.0.10.tar.gz"
_URL = f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/{_ARCHIVE}"
# GitHub packs archives on demand, so not the archive is pinned but what is in it: the sha256
# of the sorted lines "<sha256>  recordings/<file>\n".
_SHA256 = "782ba3104cab450397c83dd3b51381d056bfbf7b5f479bdcdb60438902ef191f"
_NAME = re.compile(r"(?:.*/)?recordings/((\d)_([a-z]+)_(\d+)\.wav)")
_FAINT = 1e-4  # the noise in the pauses of connected digits: about 3 steps of 16 bits

# The first three formants in hertz, how much voice, how much noise, and the length. Vowels:
# men's means of [Peterson and Barney, 1952]; the others by rule of thumb.
_PHONES = """IY 270 2290 3010 1 0 1.3, IH 390 1990 2550 1 0 1.0, EH 530 1840 2480 1 0 1.1,
AH 640 1190 2390 1 0 1.2, AA 730 1090 2440 1 0 1.2, AO 570 840 2410 1 0 1.4,
OW 450 800 2400 1 0 1.4, UW 300 870 2240 1 0 1.5, R 310 1060 1380 0.7 0 0.7,
W 290 610 2150 0.7 0 0.7, N 250 1200 2400 0.4 0 0.8, V 300 1100 2200 0.4 0.1 0.6,
Z 300 2800 3700 0.3 0.4 0.8, S 2700 3300 3800 0 0.5 1.1, F 1400 2500 3500 0 0.15 1.0,
TH 1700 2600 3200 0 0.1 0.8, T 2300 3000 3700 0 0.6 0.3, K 1300 1900 2600 0 0.5 0.3,
- 400 1500 2500 0 0 0.5"""
_PHONES = {w[0]: [float(x) for x in w[1:]] for w in map(str.split, _PHONES.split(","))}
_SPELLED = """Z IH R OW, W AH N, - T UW, TH R IY, F AO R, F AA IH V, S IH - K S, S EH V AH N,
EH IH - T, N AA IH N"""
# Each voice's pitch in hertz, and its formants as multiples of those above.
_VOICES = ((95, 0.92), (112, 1.0), (131, 1.05), (170, 1.08), (196, 1.14), (224, 1.2))
_TAKES = 12


@dataclass(frozen=True)
class Spoken:
    """Recordings of spoken digits, by several speakers, each digit several times.

    Attributes
    ----------
    name : str
        The data set's.
    recordings : list of numpy.ndarray
        float32 waveforms in -1..1, shape (N_i,); sorted by digit, speaker and take.
    labels : numpy.ndarray
        int64, the digit 0..9 of each.
    speakers : numpy.ndarray
        str, the speaker's name.
    takes : numpy.ndarray
        int64, counted from 0 for each digit of each speaker.
    rate : int
        Samples per second.
    standin : bool
        Whether synthesised voices stand in for the real ones.
    sha256 : str or None
        Checksum of the recordings' names and contents; None for the stand-in.
    """

    name: str
    recordings: list = field(repr=False)
    labels: np.ndarray = field(repr=False)
    speakers: np.ndarray = field(repr=False)
    takes: np.ndarray = field(repr=False)
    rate: int
    standin: bool
    sha256: str | None

    def official(self):
        """Return (train, test), two boolean masks: takes 0 to 4 of every speaker are to test."""
        test = self.takes < 5
        return ~test, test

    def leave_out(self, speaker):
        """Return (train, test), two boolean masks: all of one speaker is to test."""
        test = self.speakers == speaker
        if not test.any():
            known = ", ".join(np.unique(self.speakers))
            raise ValueError(f"no speaker {speaker!r}; there are: {known}")
        return ~test, test


def fsdd(standin=False):
    """Load the Free Spoken Digit Dataset, v1.0.10: ten digits, six speakers, fifty takes each.

    The 3,000 recordings, 22 minutes in all, are read without unpacking the archive: from the
    folder ``fsdd/recordings`` or the file ``fsdd/v1.0.10.tar.gz`` in RNNLIB_DATA, from that
    file in the cache, or from GitHub.

    Parameters
    ----------
    standin : bool
        Use synthesised voices instead, 12 takes each, which need no download.

    Returns
    -------
    Spoken
        At 8,000 samples per second.

    Raises
    ------
    rnnlib.data.DataError
        If recordings are there but are not the expected ones. If they cannot be had, a line
        says so and the stand-in is returned.

    References
    ----------
    Z. Jackson et al., Free Spoken Digit Dataset, doi 10.5281/zenodo.1342401, CC BY-SA 4.0.
    """
    from rnnlib.data.audio import read_wav

    if standin:
        print(f"stand-in, as asked: a set of synthesised voices is used in place of {_TITLE}")
        return _synthesised()
    try:
        found = _obtain()
    except UnavailableError as error:
        print(
            f"stand-in: {_TITLE} cannot be had ({error.reason}), so a set of synthesised voices "
            f"is used; by hand: save {_URL} as fsdd/{_ARCHIVE} in a folder of your own that the "
            "environment variable RNNLIB_DATA names"
        )
        return _synthesised()
    rows = sorted((int(m[2]), m[3], int(m[4]), m[0]) for m in map(_NAME.fullmatch, found))
    labels, speakers, takes, names = zip(*rows)
    columns = np.array(labels), np.array(speakers), np.array(takes)
    return Spoken("fsdd", [read_wav(found[k]) for k in names], *columns, 8000, False, _SHA256)


def connected(spoken, n, *, takes, seed, digits=(3, 7), silence=(0.05, 0.3)):
    """Join recordings to utterances of several digits, with pauses before, between and after.

    Every digit of an utterance is drawn from all speakers. Give other takes for training than
    for testing, such as ``range(5, 50)`` and ``range(5)``: no recording is then in both.

    Parameters
    ----------
    spoken : Spoken
        The single digits.
    n : int
        How many utterances.
    takes : iterable of int
        Only recordings of these takes are used.
    seed : int
        Of the draw.
    digits : (int, int)
        The fewest and the most digits of an utterance, both included, drawn evenly.
    silence : (float, float)
        The shortest and the longest pause, in seconds; faint noise fills it.

    Returns
    -------
    waveforms : list of numpy.ndarray
        float32, shape (N_i,).
    targets : list of str
        What is said, in words: "three five zero".

    Raises
    ------
    ValueError
        If a range is not one, or there are no recordings of these takes.
    """
    if n < 0 or not 1 <= digits[0] <= digits[1] or not 0 <= silence[0] <= silence[1]:
        raise ValueError(
            "expected n of at least 0, digits from at least 1 to no fewer and pauses from at "
            f"least 0 to no shorter, got n={n}, digits={digits}, silence={silence}"
        )
    takes = list(takes)
    usable = np.flatnonzero(np.isin(spoken.takes, takes))
    if not usable.size:
        raise ValueError(f"no recordings of the takes {takes}: expected some")
    rng = np.random.default_rng(seed)
    waveforms, targets = [], []
    for _ in range(n):
        drawn = rng.choice(usable, rng.integers(digits[0], digits[1] + 1))
        pauses = (rng.uniform(*silence, len(drawn) + 1) * spoken.rate).round().astype(int)
        pieces = [_FAINT * rng.standard_normal(pauses[0])]
        for k, pause in zip(drawn, pauses[1:]):
            pieces += spoken.recordings[k], _FAINT * rng.standard_normal(pause)
        waveforms.append(np.concatenate(pieces).astype(np.float32))
        targets.append(" ".join(WORDS[label] for label in spoken.labels[drawn]))
    return waveforms, targets


def _obtain():
    """Return what each recording holds, by its name ``recordings/<file>``, checked."""
    mirror, cached = store.mirror_folder(), store.cache_folder() / "fsdd" / _ARCHIVE
    if mirror:
        paths = {f"recordings/{p.name}": p for p in (mirror / "fsdd/recordings").glob("*.wav")}
        if paths:
            return _checked({name: path.read_bytes() for name, path in paths.items()})
        if (mirror / "fsdd" / _ARCHIVE).is_file():
            return _members(mirror / "fsdd" / _ARCHIVE)
    try:
        if cached.is_file():
            try:
                return _members(cached)
            except ChecksumError:
                print(f"fsdd/{_ARCHIVE} in the cache is damaged: fetching it anew")
                cached.unlink()
        _download(cached.parent)
        return _members(cached)
    except OSError as error:
        raise UnavailableError(disk_reason(error), f"{_URL} cannot be kept") from error


def _download(folder):
    import pooch
    import requests

    def download(url, output, _):
        pooch.HTTPDownloader(timeout=store._TIMEOUT)(url, output, None)
        _members(output)  # a ValueError if it is another file, so pooch tries again

    files = {"registry": {_ARCHIVE: None}, "urls": {_ARCHIVE: _URL}}
    keeper = pooch.create(folder, base_url="", retry_if_failed=store._RETRIES, **files)
    try:
        with store._quiet(pooch.get_logger()):
            keeper.fetch(_ARCHIVE, downloader=download)
    except (requests.RequestException, ConnectionError, TimeoutError) as error:
        raise UnavailableError(store._network_reason(error), f"no answer from {_URL}") from error


def _members(archive):
    found = {}
    try:
        with tarfile.open(archive) as opened:
            for member in opened:
                if member.isfile() and (name := _NAME.fullmatch(member.name)):
                    found[f"recordings/{name[1]}"] = opened.extractfile(member).read()
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ChecksumError(f"{_ARCHIVE} is damaged or no archive: {error}") from error
    return _checked(found)


def _checked(found):
    lines = sorted(f"{hashlib.sha256(found[name]).hexdigest()}  {name}\n" for name in found)
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    if digest != _SHA256:
        raise ChecksumError(
            f"expected the 3,000 recordings of {_TITLE}, v1.0.10, with sha256 {_SHA256} in all, "
            f"found {len(found)} with {digest}. Replace them by {_URL}"
        )
    return found


def _synthesised():
    rng = np.random.default_rng(1952)
    words = [np.array([_PHONES[p] for p in word.split()]) for word in _SPELLED.split(",")]
    rows = [(d, v, k) for d in range(10) for v in range(len(_VOICES)) for k in range(_TAKES)]
    recordings = [_say(words[d], *_VOICES[v], rng) for d, v, _ in rows]
    labels, voices, takes = np.array(rows).T
    speakers = np.array([f"voice{v}" for v in voices])
    return Spoken("fsdd", recordings, labels, speakers, takes, 8000, True, None)


def _say(phones, pitch, scale, rng, hop=64, n_fft=512):
    """One word: pulses and noise, in frames, each filtered by its three resonances."""
    lengths = phones[:, 5] * rng.uniform(9, 15) * rng.uniform(0.8, 1.2, len(phones))
    track = np.repeat(phones[:, :5], lengths.astype(int) + 1, axis=0)  # (T, 5)
    padded = np.pad(track, ((2, 2), (0, 0)), mode="edge")
    track = np.apply_along_axis(np.convolve, 0, padded, [0.1, 0.2, 0.4, 0.2, 0.1], "valid")
    T, N = len(track), len(track) * hop
    f_0 = pitch * rng.uniform(0.92, 1.08) * np.linspace(1.1, 0.9, N)
    pulses = np.diff(np.floor(np.cumsum(f_0 / 8000)), prepend=0)  # (N,)
    voice, noise = np.repeat(track[:, 3:], hop, axis=0).T
    source = np.pad(voice * pulses + 0.1 * noise * rng.standard_normal(N), (0, 4 * hop))
    frames = np.stack([source[t * hop : (t + 4) * hop] for t in range(T)]) * np.hanning(4 * hop)
    F = track[:, :3] * scale * rng.uniform(0.95, 1.05, 3)  # (T, 3)
    f = np.fft.rfftfreq(n_fft, 1 / 8000)[:, None, None]
    gains = (np.array([1, 0.6, 0.4]) / (1 + ((f - F) / [60, 90, 140]) ** 2)).sum(2)  # (bins, T)
    out = np.zeros(N + n_fft)
    for t, frame in enumerate(np.fft.irfft(np.fft.rfft(frames, n_fft) * gains.T, n_fft)):
        out[t * hop : t * hop + n_fft] += np.roll(frame, n_fft // 4)
    out = out[:N] * rng.uniform(0.2, 0.8) / np.abs(out[:N]).max()
    return (out + rng.uniform(0.001, 0.004) * rng.standard_normal(N)).clip(-1, 1).astype(np.float32)
