"""Dates and quantities written out in two languages: real words, and no end of pairs.

The patterns and names are CLDR's, through Babel; num2words turns numbers into words.
"""

import datetime
import functools
import re

import numpy as np

LANGUAGES = ("de", "en", "zh")
_UNITS = ("mass-kilogram", "mass-gram", "mass-ton", "temperature-celsius", "energy-calorie")
_FIRST, _DAYS = datetime.date(1900, 1, 1), 73_000  # to November 2099


def written(n, source="de", target="en", *, seed=0, longest=3):
    """Draw dates and quantities, and write each out in two languages.

    A sentence is a list of 1 to `longest` of them, joined as the language joins a list. German
    and English write numbers in words: "Mittwoch, dritter Mai neunzehnhundertelf" is
    "Wednesday, May third, nineteen eleven". One word becomes two, and the month changes its
    place. Chinese writes them in digits, the year first and the weekday last.

    Parameters
    ----------
    n : int
        Pairs; no source occurs twice.
    source, target : {"de", "en", "zh"}
        The two languages.
    seed : int
        Of the draw.
    longest : int
        Items in a sentence, at most.

    Returns
    -------
    list of (str, str)

    Raises
    ------
    ValueError
        If a language is none of the three, or there are not so many short sentences.
    """
    from babel.lists import format_list

    for language in (source, target):
        if language not in LANGUAGES:
            raise ValueError(f"expected a language among {LANGUAGES}, got {language!r}")
    if longest < 1 or n > 20_000**longest:
        raise ValueError(f"there are no {n} different sentences of up to {longest} items")
    rng = np.random.default_rng(seed)
    pairs = {}
    while len(pairs) < n:
        items = [_draw(rng) for _ in range(rng.integers(1, longest + 1))]
        first, second = (
            format_list([_write(*item, language) for item in items], locale=language)
            for language in (source, target)
        )
        pairs.setdefault(first, second)
    return list(pairs.items())


def _draw(rng):
    """A date as (date, None), or a number from 2 to 99 with a unit."""
    if rng.random() < 0.5:
        return _FIRST + datetime.timedelta(days=int(rng.integers(_DAYS))), None
    return int(rng.integers(2, 100)), _UNITS[rng.integers(len(_UNITS))]


def _write(what, unit, language):
    if unit is None:
        return _write_date(what, language)
    return _write_quantity(what, unit, language)


@functools.cache
def _write_quantity(number, unit, language):
    from babel.units import format_unit

    written = format_unit(number, unit, "long", locale=language).replace("\xa0", " ")
    if language == "zh":
        return written
    return written.replace(str(number), _spelled(number, language), 1)


def _write_date(date, language):
    from babel.dates import format_date

    written = format_date(date, "full", locale=language)
    if language == "zh":
        return written
    day = _spelled(date.day, language, "ordinal") + ("r" if language == "de" else "")
    written = written.replace(str(date.year), _spelled(date.year, language, "year"))
    return re.sub(rf"\b{date.day}\b\.?", day, written)  # "3." is "dritter"


@functools.cache
def _spelled(number, language, kind="cardinal"):
    from num2words import num2words

    return num2words(number, lang=language, to=kind)
