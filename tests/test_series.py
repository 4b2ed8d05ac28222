"""The series that ship with a package: that they are the expected ones, or a clear error."""

import hashlib
import struct
import subprocess
import sys

import numpy as np
import pytest

from rnnlib import data
from rnnlib.data import series


@pytest.fixture
def package():
    from statsmodels.datasets import sunspots

    return sunspots


def altered(monkeypatch, package, change):
    """Let statsmodels return a table that `change` has worked on."""
    original = package.load_pandas()
    original.data = change(original.data.copy())
    monkeypatch.setattr(package, "load_pandas", lambda: original)


def test_the_real_series():
    sun = series.sunspots()
    assert (sun.name, sun.standin) == ("sunspots", False)
    assert sun.years.shape == sun.values.shape == (309,)
    assert (sun.years[0], sun.years[-1]) == (1700, 2008)
    assert (sun.values[0], sun.values[-1]) == (5.0, 2.9)
    assert sun.values.dtype == np.float64
    assert np.issubdtype(sun.years.dtype, np.integer)
    assert (sun.values.min(), sun.values.max()) == (0.0, 190.2)
    assert sun.years[sun.values.argmax()] == 1957
    assert sun.sha256 == series.checksum(sun.values)


def test_it_needs_no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert not series.sunspots().standin


def test_the_stand_in(capsys):
    sun = series.sunspots(standin=True)
    assert (sun.name, sun.standin, sun.sha256) == ("sunspots", True, None)
    assert capsys.readouterr().out.count("\n") == 1
    assert sun.years.shape == sun.values.shape == (309,)
    assert np.array_equal(sun.values, series.sunspots(standin=True).values)
    assert (sun.values >= 0).all()
    spectrum = np.abs(np.fft.rfft(sun.values - sun.values.mean()))
    period = 309 / spectrum.argmax()
    assert 9 < period < 13


def test_the_stand_in_does_not_import_statsmodels():
    code = (
        "import sys; from rnnlib.data import series; series.sunspots(standin=True); "
        "assert 'statsmodels' not in sys.modules and 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_nobody_can_change_the_values_by_mistake():
    for sun in (series.sunspots(), series.sunspots(standin=True)):
        for array in (sun.years, sun.values):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1


def test_another_value_is_noticed(monkeypatch, package):
    def change(table):
        table.loc[100, "SUNACTIVITY"] += 0.1
        return table

    altered(monkeypatch, package, change)
    with pytest.raises(data.ChecksumError, match=r"statsmodels \d.*expected 309 .*found 309"):
        series.sunspots()


def test_another_length_is_noticed(monkeypatch, package):
    altered(monkeypatch, package, lambda table: table[:-1])
    with pytest.raises(data.ChecksumError, match="found 308"):
        series.sunspots()


def test_other_years_are_noticed(monkeypatch, package):
    altered(monkeypatch, package, lambda table: table.assign(YEAR=table.YEAR + 1))
    with pytest.raises(data.ChecksumError, match="1700 to 2008"):
        series.sunspots()


def test_the_canonical_form():
    values = [0.0, 1.5, -2.25]
    expected = hashlib.sha256(struct.pack("<3d", *values)).hexdigest()
    assert series.checksum(values) == expected
    assert series.checksum(np.array(values, ">f8")) == expected
    assert series.checksum(np.array(values, np.float32)) == expected
    assert series.checksum([-0.0, 1.5, -2.25]) == expected
    assert series.checksum(np.repeat(values, 2)[::2]) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [([[1.0, 2.0]], r"shape \(N,\)"), ([1.0, np.nan], "nan at 1"), ([np.inf], "inf at 0")],
)
def test_what_is_no_series_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        series.checksum(values)
