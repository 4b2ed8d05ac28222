"""Real time series, with checks that they are the ones the course was written with.

The values come from inside the statsmodels package, so nothing is downloaded. A synthetic
series stands in at smoke scale, or where a copy of statsmodels lacks the file.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from rnnlib.data.errors import ChecksumError

_SUNSPOTS_SHA256 = "66c86ecdcd5950f61f6243f924fdfa10a44596e94816291062fdda266a31c86d"
_FIRST, _LAST = 1700, 2008


@dataclass(frozen=True)
class Series:
    """One number for each year.

    Attributes
    ----------
    name : str
        The data set's.
    years : numpy.ndarray
        int64, shape (N,), consecutive, read-only.
    values : numpy.ndarray
        float64, shape (N,), read-only.
    standin : bool
        Whether a synthetic series stands in for the real one.
    sha256 : str or None
        Checksum of the values in canonical form, see :func:`checksum`; None for the
        stand-in.
    """

    name: str
    years: np.ndarray = field(repr=False)
    values: np.ndarray = field(repr=False)
    standin: bool
    sha256: str | None


def sunspots(standin=False):
    """Load the yearly mean sunspot number, 1700 to 2008: 309 values from 0 to 190.2.

    It is the series of the National Geophysical Data Center, in the public domain, as
    statsmodels ships it. Sunspot numbers have been recalibrated since [Clette et al.,
    2014], so these differ from those that are published today. From 1947 on large spots
    were counted more than once, which raised the numbers by up to about a fifth
    [Svalgaard et al., 2017]; these values are not corrected for it.

    Parameters
    ----------
    standin : bool
        Make a synthetic series of the same length instead, which oscillates with a
        period and a height that wander.

    Returns
    -------
    Series

    Raises
    ------
    rnnlib.data.ChecksumError
        If the installed statsmodels holds other years or other values.
    """
    years = np.arange(_FIRST, _LAST + 1)
    if standin:
        print("stand-in, as asked: a synthetic cycle is used in place of the sunspots")
        return Series("sunspots", _frozen(years), _frozen(_wandering_cycle()), True, None)
    import statsmodels
    from statsmodels.datasets import sunspots as package

    table = package.load_pandas().data
    values = table["SUNACTIVITY"].to_numpy(np.float64)
    found = checksum(values)
    if found != _SUNSPOTS_SHA256 or not np.array_equal(table["YEAR"], years):
        raise ChecksumError(
            f"statsmodels {statsmodels.__version__} ships other sunspot numbers than the "
            f"course was written with: expected {len(years)} values, {_FIRST} to {_LAST}, "
            f"with sha256 {_SUNSPOTS_SHA256}, found {len(values)} with {found}. Install "
            "the version that constraints.txt names, or ask for the stand-in"
        )
    return Series("sunspots", _frozen(years), _frozen(values), False, found)


def checksum(values):
    """Return the sha256 of a series in canonical form: float64, little-endian, in order.

    Parameters
    ----------
    values : array_like of float
        Shape (N,).

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ValueError
        If the values are not one-dimensional or not finite.
    """
    values = np.asarray(values, dtype="<f8")
    if values.ndim != 1:
        raise ValueError(f"expected values of shape (N,), got {values.shape}")
    if not np.isfinite(values).all():
        position = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"expected finite values, got {values[position]} at {position}")
    return hashlib.sha256((values + 0.0).tobytes()).hexdigest()  # + 0.0: -0 and 0 are one


def _frozen(array):
    array = np.array(array)
    array.flags.writeable = False
    return array


def _wandering_cycle():
    """A cycle of about 11 years that never goes below 0; the same on every machine."""
    rng = np.random.default_rng(1843)
    count = _LAST - _FIRST + 1
    phase = np.cumsum(2 * np.pi / 11 * (1 + 0.15 * rng.standard_normal(count)))
    height = 1 + 0.4 * np.sin(2 * np.pi * np.arange(count) / 90)
    values = 50 * height * (1 - np.cos(phase)) + 6 * rng.standard_normal(count)
    return np.maximum(values, 0).round(1)
