"""Sound files, and the front end: from a waveform to log-mel features.

A waveform is float32, shape (N,), in -1..1. Its features have shape (T, bands): one row for
every 10 ms, each number the logarithm of the power in one band of frequencies.
"""

import io
import math
import os
import struct
import warnings
from functools import lru_cache
from itertools import repeat
from pathlib import Path

import numpy as np
import torch

from rnnlib.data.errors import DataError

_FLOOR = 1e-10  # added to every band's power, so that silence has a logarithm
_DAMAGE = (ValueError, TypeError, ArithmeticError, UnboundLocalError, struct.error)
_FASTEST = 768_000  # samples per second; a header that says more is damaged


def read_wav(source, rate=8000):
    """Read a WAV file as one channel at one rate.

    Parameters
    ----------
    source : path_like or bytes
        The file, or what it holds: PCM of 8, 16, 24 or 32 bits, or floats of 32 or 64 bits,
        with any number of channels, of which the mean is taken.
    rate : int
        The rate wanted, in samples per second; a file of another rate is resampled.

    Returns
    -------
    numpy.ndarray
        float32, shape (N,) with N at least 1. PCM lies in -1..1, but for what resampling
        overshoots; floats are left as they are.

    Raises
    ------
    rnnlib.data.DataError
        If it is no WAV file, of another coding, cut short, or empty, or if a sample is not
        finite.
    FileNotFoundError
        If there is no such file.
    """
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    given = isinstance(source, bytes)
    name = "the sound" if given else os.path.basename(os.fspath(source))
    content = source if given else Path(source).read_bytes()
    if not content:
        raise DataError(f"{name}: expected a WAV file, got 0 bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks that are not sound
            warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)
            found, samples = wavfile.read(io.BytesIO(content))
    except wavfile.WavFileWarning as error:
        raise DataError(
            f"{name} ends before its header says: it was cut short, or written by a program "
            f"that could not go back to fill in the length ({error})"
        ) from error
    except _DAMAGE as error:
        raise DataError(
            f"{name}: expected a WAV file of 8, 16, 24 or 32 bits or of floats, all of it; "
            f"scipy says: {error}"
        ) from error
    if not samples.size or not 0 < found <= _FASTEST:
        raise DataError(f"{name}: expected samples, got {len(samples)} at {found} per second")
    x = _scaled(samples)  # (N,), float64
    fine = np.abs(x) <= np.finfo(np.float32).max
    if not fine.all():
        raise DataError(f"{name}: sample {int(np.argmin(fine))} is not finite in float32")
    if found != rate:
        common = math.gcd(rate, found)
        x = resample_poly(x, rate // common, found // common)
    return x.astype(np.float32)


def log_mel(x, rate, *, window=0.025, hop=0.010, bands=40, low=20.0, high=None):
    """Return log-mel features: the logarithm of the power in bands spaced as the ear hears.

    For each frame: a Hann window, the squared magnitude of the Fourier transform, triangular
    filters of :func:`mel_filters`, and ``log(power + 1e-10)``. Frame t begins at sample
    ``t * hop``, and sees nothing later than its window; at the end, zeros fill the last frame.
    So N samples give ``T = 1 + ceil(max(N - window, 0) / hop)`` frames, all in samples.

    Parameters
    ----------
    x : tensor or array of shape (N,) or (B, N), or list of those of shape (N_i,)
        Waveforms, N at least 1.
    rate : int
        Samples per second.
    window, hop : float
        Length of a frame, and from one to the next, in seconds.
    bands : int
        How many filters.
    low, high : float
        Where the first band begins and the last one ends, in hertz; None is half the rate.

    Returns
    -------
    torch.Tensor or list of torch.Tensor
        float32 on x's device, shape (T, bands) or (B, T, bands); for a list, a list. It is
        computed in float64: in float32 a loud band would blur the quiet ones beside it.

    Raises
    ------
    ValueError
        If x has another shape or no samples, or a band holds no frequency of the transform.

    References
    ----------
    S. B. Davis, P. Mermelstein, Comparison of parametric representations for monosyllabic word
    recognition in continuously spoken sentences, IEEE Transactions on Acoustics, Speech, and
    Signal Processing 28, 1980. The paper goes on to a cosine transform, which is left out here.
    """
    if isinstance(x, list | tuple):
        options = {"window": window, "hop": hop, "bands": bands, "low": low, "high": high}
        return [log_mel(one, rate, **options) for one in x]
    x = torch.as_tensor(x)
    if x.ndim not in (1, 2) or not x.shape[-1]:
        raise ValueError(f"expected waveforms (N,) or (B, N) with N > 0, got {tuple(x.shape)}")
    W, step = round(window * rate), round(hop * rate)
    if W < 2 or step < 1:
        raise ValueError(f"expected a window of 2 samples and a hop of 1, got {W} and {step}")
    n_fft = 1 << (W - 1).bit_length()  # the next power of 2: a fast transform
    T = 1 + math.ceil(max(x.shape[-1] - W, 0) / step)
    total = (T - 1) * step + n_fft
    x = torch.nn.functional.pad(x.double(), (0, total - x.shape[-1]))
    hann = torch.hann_window(W, dtype=x.dtype, device=x.device)
    hann = torch.nn.functional.pad(hann, (0, n_fft - W))
    S = torch.stft(x, n_fft, step, window=hann, center=False, return_complex=True)
    power = S.abs().square()  # (..., n_fft / 2 + 1, T)
    filters = mel_filters(bands, n_fft, rate, low, high)
    mel = torch.from_numpy(filters.copy()).to(x.device) @ power  # (..., bands, T)
    return torch.log(mel + _FLOOR).mT.float()


@lru_cache
def mel_filters(bands, n_fft, rate, low=20.0, high=None):
    """Return triangular filters, spaced evenly on the mel scale and overlapping by half.

    ``mel = 2595 log10(1 + f / 700)``: nearly linear below 1000 Hz, logarithmic above. Filter b
    rises from edge b to 1 at edge b + 1 and falls to 0 at edge b + 2, linear in hertz.

    Parameters
    ----------
    bands, n_fft, rate : int
        Filters, points of the transform, samples per second.
    low, high : float
        Where the first band begins and the last one ends, in hertz; None is half the rate.

    Returns
    -------
    numpy.ndarray
        float64, shape (bands, n_fft // 2 + 1), read-only.

    Raises
    ------
    ValueError
        If the range is empty or above half the rate, or a filter falls between two
        frequencies of the transform.
    """
    high = rate / 2 if high is None else high
    if bands < 1 or not 0 <= low < high <= rate / 2:
        raise ValueError(
            f"expected at least one band and 0 <= low < high <= {rate / 2:g} Hz, half the rate, "
            f"got {bands} bands from {low:g} to {high:g} Hz"
        )
    mels = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (low, high)), bands + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)  # (bands + 2,), in hertz
    edges[[0, -1]] = low, high  # not a rounding error beyond
    f = np.arange(n_fft // 2 + 1) * rate / n_fft
    left, centre, right = (edges[k : k + bands, None] for k in range(3))
    filters = np.minimum((f - left) / (centre - left), (right - f) / (right - centre))
    filters = np.maximum(filters, 0)
    if not filters.any(axis=1).all():
        empty = int(np.argmin(filters.any(axis=1)))
        raise ValueError(
            f"band {empty} holds none of the frequencies, {rate / n_fft:g} Hz apart: expected "
            f"fewer than {bands} bands, or a longer window"
        )
    filters.flags.writeable = False
    return filters


def normalise(features, by="utterance", *, variance=True, fit=None):
    """Subtract the mean of each band, and divide by its standard deviation.

    By utterance, what a microphone or a voice adds to every frame disappears. By global
    statistics the differences between utterances stay.

    Parameters
    ----------
    features : list of torch.Tensor
        Shape (T_i, bands) each.
    by : str
        "utterance": each by its own frames; "global": all by the frames of `fit` together.
    variance : bool
        Whether to divide.
    fit : list of torch.Tensor, optional
        Only with "global": where mean and deviation come from, which is to say the part to
        train on; without it, `features`.

    Returns
    -------
    list of torch.Tensor
        As given. A band that does not vary becomes 0.

    Raises
    ------
    ValueError
        If `by` is another word, `fit` is given with "utterance", or a shape is not (T, bands).
    """
    if by not in ("utterance", "global") or (fit is not None and by == "utterance"):
        raise ValueError(f'expected "utterance", or "global" with fit or without, got {by!r}')
    for x in (*features, *(() if fit is None else fit)):
        if x.ndim != 2 or not len(x):
            raise ValueError(f"expected features (T, bands) with T > 0, got {tuple(x.shape)}")
    if by == "utterance":
        statistics = (torch.std_mean(x.double(), 0, correction=0) for x in features)
    else:
        frames = torch.cat(list(features if fit is None else fit))
        statistics = repeat(torch.std_mean(frames.double(), 0, correction=0))
    return [
        ((x - mean) / (deviation.clamp(min=1e-5) if variance else 1.0)).to(x.dtype)
        for x, (deviation, mean) in zip(features, statistics)
    ]


def _scaled(samples):
    """Bring PCM to -1..1 and take the mean of the channels; scipy puts 24 bits into 32."""
    with np.errstate(all="ignore"):  # the caller refuses what is not finite
        x = samples.astype(np.float64)
    if samples.dtype == np.uint8:
        x = (x - 128) / 128
    elif samples.dtype.kind == "i":
        x /= 2.0 ** (8 * samples.dtype.itemsize - 1)
    return x if x.ndim == 1 else x.mean(axis=1)
