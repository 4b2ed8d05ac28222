"""Scale, seed, device, claims and results: a notebook's first and last cells.

A chapter opens with ``run = course.start("06_rnns_in_pytorch", scale=SCALE, seed=SEED)``, asks
``run.pick`` for sizes and ``run.load`` for data, states what it relies on with
``run.claim``, keeps its figures with ``run.record``, and ends with ``run.finish()``.
"""

import contextlib
import json
import math
import os
import random
import re
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rnnlib import machine, notebooks
from rnnlib.results import ClaimTable, summarise

SCALES = ("smoke", "cpu", "gpu")
_TESTS = {
    "below": ("<", lambda v, b: v < b),
    "at_most": ("<=", lambda v, b: v <= b),
    "above": (">", lambda v, b: v > b),
    "at_least": (">=", lambda v, b: v >= b),
    "equals": ("==", lambda v, b: v == b),
}


class ClaimError(AssertionError):
    """A number that the text relies on came out on the wrong side of its bound."""


def start(chapter, scale="auto", seed=0, numpy_only=False):
    """Open a chapter: settle the scale, seed every generator, print one line.

    Parameters
    ----------
    chapter : str
        The notebook's name without its ending, such as ``"03_bptt"``.
    scale : {"auto", "smoke", "cpu", "gpu"}
        ``auto`` takes the environment variable RNNLIB_SCALE if it is set, else gpu
        where CUDA is present, else cpu.
    seed : int
        Seeds ``random``, NumPy's global generator and, unless `numpy_only`, PyTorch.
    numpy_only : bool
        The chapter trains without PyTorch: the device is the CPU at every scale.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If the chapter is no plain name, the scale is unknown, or the seed is no integer
        of at least 0.
    """
    if not re.fullmatch(r"\w+", str(chapter), re.ASCII):
        raise ValueError(f"expected a chapter's name such as '03_bptt', got {chapter!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"expected a seed in 0..2**32-1, got {seed!r}")
    run = Run(chapter, resolve_scale(scale), seed, numpy_only)
    random.seed(seed)
    np.random.seed(seed)
    if not numpy_only:
        import torch

        torch.manual_seed(seed)
    versions = ", ".join(f"{name} {v}" for name, v in run.versions.items())
    print(f"{chapter} · scale {run.scale} · device {run.device} · seed {seed} · {versions}")
    return run


def resolve_scale(scale="auto"):
    """Turn a scale setting, ``auto`` included, into smoke, cpu or gpu."""
    origin = "SCALE"
    if scale == "auto" and os.environ.get("RNNLIB_SCALE"):
        scale, origin = os.environ["RNNLIB_SCALE"], "RNNLIB_SCALE"
    if scale == "auto":
        return "gpu" if machine.has_cuda() else "cpu"
    if scale not in SCALES:
        raise ValueError(f"expected {origin} to be auto, smoke, cpu or gpu, got {scale!r}")
    if scale == "gpu" and not machine.has_cuda():
        raise ValueError(
            f"{origin} asks for gpu, but PyTorch finds no CUDA device here: "
            'use "cpu", or on Colab choose Runtime, Change runtime type, GPU'
        )
    return scale


class Run:
    """One execution of one chapter; made by :func:`start`."""

    def __init__(self, chapter, scale, seed, numpy_only=False):
        self.chapter, self.scale, self.seed = chapter, scale, seed
        self.device = "cuda" if scale == "gpu" and not numpy_only else "cpu"
        self.versions = machine.versions()
        self._began = time.perf_counter()
        self._data, self._metrics, self._claims = {}, {}, []

    def pick(self, *, smoke, cpu, gpu=...):
        """Return the value that belongs to this run's scale; gpu's is cpu's if not given."""
        return {"smoke": smoke, "cpu": cpu, "gpu": cpu if gpu is ... else gpu}[self.scale]

    def load(self, loader, **options):
        """Load a data set through one of :mod:`rnnlib.data`'s loaders.

        At smoke scale the loader is asked for its stand-in. What was used is written
        into the results; once a stand-in is used, claims are not checked.
        """
        if self.scale == "smoke":
            options["standin"] = True
        data = loader(**options)
        self._data[data.name] = "stand-in" if data.standin else data.sha256
        return data

    def progress(self, iterable, label="", **options):
        """Show a live progress bar with the time left, which leaves no trace behind."""
        return tqdm(
            iterable, label, file=sys.stdout, leave=False, mininterval=0.5, ncols=72, **options
        )

    def claim(self, text, value, *, exact=False, **bound):
        """State a number that the text relies on, and fail if it does not hold.

        Parameters
        ----------
        text : str
            The claim, as a sentence.
        value : float
            What was measured.
        exact : bool
            The claim depends neither on the data nor on how long was trained, so it
            is checked at every scale. Without it, a run at smoke scale or on stand-in
            data reports the claim as not checked.
        **bound : float
            Exactly one of ``below``, ``at_most``, ``above``, ``at_least``, ``equals``.

        Raises
        ------
        ClaimError
            If the claim was checked and failed. The results so far are written first.
        TypeError
            If there is not exactly one known bound.
        ValueError
            If the value or the bound is not a finite number.
        """
        if len(bound) != 1 or next(iter(bound)) not in _TESTS:
            raise TypeError(f"expected exactly one of {', '.join(_TESTS)}, got {bound or 'none'}")
        ((kind, limit),) = bound.items()
        sign, holds = _TESTS[kind]
        value, limit = _number(value, text), _number(limit, text)
        unreal = self.scale == "smoke" or "stand-in" in self._data.values()
        if unreal and not exact:
            status = "not checked"
        else:
            status = "pass" if holds(value, limit) else "fail"
        entry = {"text": text, "value": value, "bound": f"{sign} {limit:.6g}", "status": status}
        # A cell that is run again replaces what it claimed before.
        self._claims = [c for c in self._claims if c["text"] != text] + [entry]
        line = f"claim, {status}: {value:.4g} {entry['bound']}: {text}"
        print(textwrap.fill(line, 78, subsequent_indent="    "))
        if status == "fail":
            self._try_write()
            raise ClaimError(f"{text}: expected {entry['bound']}, got {value:.6g}")

    def record(self, name, value):
        """Keep a figure, or a list with one value for each repetition, by its name."""
        values = [_number(v, name) for v in np.atleast_1d(value)]
        if not values:
            raise ValueError(f"expected at least one value for {name!r}, got none")
        self._metrics[name] = values

    def results(self):
        """Return everything known so far in the form of a results file."""
        return {
            "chapter": self.chapter,
            "scale": self.scale,
            "device": machine.device_name(self.device),
            "versions": self.versions,
            "seeds": [self.seed],
            "wall_s": round(time.perf_counter() - self._began, 1),
            "peak_mb": machine.peak_mb(self.device),
            "code_sha256": self._code_hash(),
            "data": self._data,
            "metrics": {name: summarise(values) for name, values in self._metrics.items()},
            "claims": self._claims,
        }

    def finish(self):
        """Write the results file and return the table of claims for display.

        If the file cannot be written, a note says so; ``run.results()`` has it all.
        """
        where = self._try_write()
        checked = sum(c["status"] != "not checked" for c in self._claims)
        failed = sum(c["status"] == "fail" for c in self._claims)
        print(
            f"{checked} of {len(self._claims)} claims checked, "
            f"{f'{failed} FAILED' if failed else 'all hold'}; "
            f"{time.perf_counter() - self._began:.0f} s; {where}"
        )
        return ClaimTable(self._claims)

    def _try_write(self):
        """Write the results file, or say why not: a run must not be lost to a full disk."""
        folder, shown = self._results_folder()
        path = folder / self.scale / f"{self.chapter}.json"
        shown = f"{shown}/{self.scale}/{self.chapter}.json"
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(self.results(), indent=1) + "\n", encoding="utf8")
            part.replace(path)
        except OSError as error:
            print(f"note: could not write {shown} ({error.strerror}); run.results() has it all")
            with contextlib.suppress(OSError):
                part.unlink()
            return "results NOT written"
        return f"results in {shown}"

    def _results_folder(self):
        if os.environ.get("RNNLIB_RESULTS"):
            folder = Path(os.environ["RNNLIB_RESULTS"])
            in_book = folder.parts[-2:] == ("book", "results")
            return folder, "book/results" if in_book else "RNNLIB_RESULTS"
        notebook = self._notebook()
        if notebook and (notebook.parents[1] / "_config.yml").exists():
            return notebook.parents[1] / "book" / "results", "book/results"
        return Path("results"), "results"

    def _notebook(self):
        for folder in (Path.cwd(), Path.cwd() / "notebooks"):
            path = folder / f"{self.chapter}.ipynb"
            if path.exists():
                return path
        return None

    def _code_hash(self):
        notebook = self._notebook()
        return notebooks.code_hash(notebook) if notebook else None


def _number(value, name):
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name}: expected a finite number, got {number}: did training diverge?")
    return number
