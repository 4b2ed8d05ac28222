"""The bench of the NumPy kernels: its form at tiny sizes; no time is compared with another."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from rnnlib import bench, floor
from rnnlib.__main__ import main
from rnnlib.scratch import lstm

TINY = ((3, 1, 4, 5), (4, 2, 3, 64))
TIMES = ("ours_ms", "torch_ms", "naive_ms", "floor_ms")


@pytest.fixture
def tiny(monkeypatch):
    """Let the command measure tiny sizes, in this process."""
    measure = bench.measure
    monkeypatch.setattr(bench, "measure", lambda: measure(TINY, rounds=2, seconds=0))
    for name, value in bench.ONE_THREAD.items():
        monkeypatch.setenv(name, value)


def row(cell, ours, torch, naive, B=1):
    times = dict(zip(TIMES, (ours, torch, naive, ours / 2)))
    return {"cell": cell, "T": 25, "B": B, "I": 65, "H": 100} | times


def test_bench_writes_a_table_and_a_file(tiny, tmp_path, capsys):
    path = tmp_path / "times.json"
    assert main(["bench", "scratch", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())
    assert [(r["cell"], r["T"], r["B"], r["I"], r["H"]) for r in rows] == [
        (cell, *size) for size in TINY for cell in ("rnn", "lstm", "gru")
    ]
    assert {tuple(r) for r in rows} == {("cell", "T", "B", "I", "H", *TIMES)}
    assert all(isinstance(r[name], float) and r[name] > 0 for r in rows for name in TIMES)
    lines = capsys.readouterr().out.splitlines()
    assert "one thread" in lines[0]
    assert lines[3] == bench.HEAD
    assert [line.split()[:5] for line in lines[4:10]] == [
        [str(r[name]) for name in ("cell", "T", "B", "I", "H")] for r in rows
    ]
    assert all(len(line) == len(bench.HEAD) < 100 for line in lines[4:10])
    assert sum("target" in line for line in lines) == 5


def test_bench_without_a_file(tiny, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "scratch"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_bench_refuses_a_folder_that_is_not_there_before_it_measures(
    tiny, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(bench, "measure", lambda: pytest.fail("measured"))
    assert main(["bench", "scratch", "--json", str(tmp_path / "no" / "times.json")]) == 1
    assert "folder that exists" in capsys.readouterr().err
    assert main(["bench", "scratch", "--json", str(tmp_path)]) == 1
    assert "expected a file" in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 1])
def test_bench_sets_one_thread_before_numpy_is_imported(monkeypatch, tmp_path, status):
    calls = []

    def run(command, env):
        calls.append((command, env))
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(bench.subprocess, "run", run)
    for name in bench.ONE_THREAD:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    path = str(tmp_path / "times.json")
    assert main(["bench", "scratch", "--json", path]) == status
    ((command, env),) = calls
    assert command == [sys.executable, "-m", "rnnlib", "bench", "scratch", "--json", path]
    assert env == os.environ | bench.ONE_THREAD


@pytest.mark.parametrize("who", ["ours", "torch"])
def test_bench_times_only_what_agrees(tiny, monkeypatch, capsys, who):
    if who == "ours":
        backward = lstm.backward

        def twice(*arguments):
            grads, *others = backward(*arguments)
            return grads | {"W_hh": 2 * grads["W_hh"]}, *others

        monkeypatch.setattr(lstm, "backward", twice)
    else:
        torchs = bench._torch
        monkeypatch.setattr(
            bench, "_torch", lambda cell, p, x, *rest: torchs(cell, p, x + np.float32(0.1), *rest)
        )
    assert main(["bench", "scratch"]) == 1
    assert f"{who} and naive do not agree" in capsys.readouterr().err


def test_summary_knows_each_target():
    met = [row("rnn", 1, 4, 1), row("lstm", 1.0, 1.6, 3.0), row("gru", 1, 2, 1)]
    met += [row("lstm", 1.4, 1.0, 2.1, B=32)]
    lines = bench.summary(met).splitlines()
    assert len(lines) == 5
    assert not any("NOT met" in line for line in lines)
    mean = (0.25 * 0.625 * 0.5 * 1.4) ** (1 / 4)
    assert f"{mean:.2f}" in lines[0]
    for n, worse in enumerate(
        (
            [row("rnn", 2, 2, 2), row("lstm", 1, 1, 4), row("gru", 1, 2, 2)],
            [row("rnn", 1, 2, 2), row("lstm", 1, 4, 4), row("gru", 1.06, 1, 2)],
            [row("rnn", 1, 4, 2), row("lstm", 1.46, 1, 6), row("gru", 1, 4, 2)],
            [row("rnn", 1, 4, 2), row("lstm", 1, 2, 2.9), row("gru", 1, 4, 2)],
            [row("rnn", 1, 4, 2), row("lstm", 1, 2, 3.1), row("lstm", 1, 2, 1.4, B=2)],
        )
    ):
        lines = bench.summary(worse).splitlines()
        assert [i for i, line in enumerate(lines) if "NOT met" in line] == [n]


class Clock:
    """Time that passes only while a contestant runs."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def contestant(self, name, *lasts):
        def run():
            self.now += lasts[min(self.calls.count(name), len(lasts) - 1)]
            self.calls.append(name)

        return run


def test_turns_alternate_until_there_are_enough(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(bench, "perf_counter", lambda: clock.now)
    contestants = {name: clock.contestant(name, 1.0) for name in ("ours", "torch")}
    times = bench._take_turns(contestants, rounds=7, seconds=0)
    assert clock.calls == ["ours", "torch"] * 8  # one to warm up
    assert times == {"ours": [1] * 7, "torch": [1] * 7}
    times = bench._take_turns(contestants, rounds=1, seconds=10)
    assert len(times["ours"]) == len(times["torch"]) == 5


def test_a_short_run_is_repeated_and_its_first_not_counted(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(bench, "perf_counter", lambda: clock.now)
    assert bench._turn(clock.contestant("cold", 0.01, 0.002)) == pytest.approx(0.002)
    assert clock.calls == ["cold"] * 6
    assert bench._turn(clock.contestant("long", 0.06)) == pytest.approx(0.06)
    assert clock.calls.count("long") == 1


@pytest.mark.parametrize("cell", bench.CELLS)
@pytest.mark.parametrize("size", [*TINY, (70, 32, 3, 128)])
def test_floor_neither_overflows_nor_vanishes(cell, size):
    with np.errstate(all="raise"):  # subnormal numbers would be slow
        run = floor.contestant(cell, *size)
        for _ in range(3):
            run()


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("width", [128, 64, 32])
def test_every_way_of_the_floor_is_the_product(parts, width):
    rng = np.random.default_rng(0)
    W, thin = rng.standard_normal((96, 128)), rng.standard_normal((5, 96))
    multiply, shape, out = floor._way(5, W, parts, width)
    multiply(np.ascontiguousarray(thin.reshape(5, parts, -1).swapaxes(0, 1)).reshape(shape))
    out = out.reshape(-1, 128 // width, 5, width).sum(0).swapaxes(0, 1)
    np.testing.assert_allclose(out.reshape(5, 128), thin @ W, atol=1e-12)
