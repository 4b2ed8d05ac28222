"""How long the NumPy kernels take, beside PyTorch: ``python -m rnnlib bench scratch``.

One run of a contestant is a forward pass over the whole sequence and a full backward pass,
for which a random gradient reaches every state: gradients of all weights and biases, of the
inputs and of the initial states. All is float32, on one thread of one process. There are
four contestants:

- *ours*: the kernels of :mod:`rnnlib.scratch`, with their checks of what they are given;
- *torch*: ``torch.nn.RNN``, ``LSTM`` and ``GRU``, time-major, on the CPU, with whatever
  PyTorch chooses by default (oneDNN, where it has it);
- *naive*: :mod:`rnnlib.scratch.stepwise`, the same equations one step at a time;
- *floor*: what no NumPy code can leave out, see :mod:`rnnlib.floor`.

The contestants take turns, so that what slows the machine for a while slows all of them.
In its turn a contestant runs as often as fits into 50 ms, at least once, for training repeats
it, too: a short run right after another contestant measures little but cold caches. The time
is the median over at least seven turns. The arguments exist before the clock starts; what a
run returns is allocated and freed while it goes. The first three must agree beforehand.
"""

import json
import math
import os
import platform
import subprocess
import sys
from statistics import median
from time import perf_counter

import numpy as np

from rnnlib import floor, machine, notebooks

SIZES = ((25, 1, 65, 100), (50, 32, 64, 128), (100, 64, 128, 256), (200, 32, 256, 512))
CELLS = ("rnn", "lstm", "gru")
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


def scratch(path=None):
    """Time the kernels at all sizes; print the table and which targets are met.

    Parameters
    ----------
    path : pathlib.Path, optional
        Where to write the times as JSON.

    Returns
    -------
    int
        Exit status: 0 whether the targets are met or not.
    """
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise ValueError(f"expected a file in a folder that exists, got {path}")
    if ONE_THREAD.items() - os.environ.items():
        # A BLAS reads these when NumPy is imported, so it takes a new process to set them.
        again = [sys.executable, "-m", "rnnlib", "bench", "scratch"]
        again += [] if path is None else ["--json", str(path)]
        return subprocess.run(again, env=os.environ | ONE_THREAD).returncode
    found = machine.versions()
    print(
        f"Forward and full backward, float32, one thread, medians in ms.\n"
        f"{machine.device_name()}; {platform.system()}, numpy {found['numpy']}, "
        f"torch {found['torch']}\n\n{HEAD}"
    )
    rows = []
    for row in measure():
        print(_line(row), flush=True)
        rows.append(row)
    print(f"\n{summary(rows)}")
    if path is not None:
        notebooks.write_whole(path, json.dumps(rows, indent=1) + "\n")
    return 0


def measure(sizes=SIZES, rounds=7, seconds=2.0):
    """Time every cell at every size.

    Parameters
    ----------
    sizes : sequence of (T, B, I, H)
        Steps, sequences, inputs and hidden units.
    rounds : int
        How often each contestant runs, at the least.
    seconds : float
        How long the rounds of one cell last together, at the least.

    Yields
    ------
    dict
        ``cell``, ``T``, ``B``, ``I``, ``H`` and the medians ``ours_ms``, ``torch_ms``,
        ``naive_ms`` and ``floor_ms``.
    """
    for size in sizes:
        for cell in CELLS:
            contestants = _contestants(cell, *size)
            times = _take_turns(contestants, rounds, seconds)
            row = dict(zip(("cell", "T", "B", "I", "H"), (cell, *size)))
            yield row | {f"{name}_ms": round(1e3 * median(t), 4) for name, t in times.items()}


def _take_turns(contestants, rounds, seconds):
    times = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    begin = perf_counter()
    while len(times["ours"]) < rounds or perf_counter() - begin < seconds:
        for name, run in contestants.items():
            times[name].append(_turn(run))
    return times


def _turn(run, seconds=0.05):
    """Time one run, or the mean of as many in a row as fit, but for the first of them."""
    start = perf_counter()
    run()
    first = perf_counter() - start
    if first > seconds:
        return first
    n = math.ceil(seconds / first)
    start = perf_counter()
    for _ in range(n):
        run()
    return (perf_counter() - start) / n


def _contestants(cell, T, B, I, H):
    from rnnlib.scratch import elman, gru, lstm, stepwise

    kernel = {"rnn": elman, "lstm": lstm, "gru": gru}[cell]
    name = kernel.__name__.rpartition(".")[2]
    rng = np.random.default_rng(0)
    params = kernel.init(I, H, rng, dtype=np.float32)
    x, dh = (rng.standard_normal((T, B, n), np.float32) for n in (I, H))
    initial = [rng.standard_normal((B, H), np.float32) for _ in range(1 + (cell == "lstm"))]
    forward = getattr(stepwise, f"{name}_forward")
    backward = getattr(stepwise, f"{name}_backward")
    contestants = {
        "ours": _numpy(kernel.forward, kernel.backward, params, x, dh, initial),
        "torch": _torch(cell, params, x, dh, initial),
        "naive": _numpy(forward, backward, params, x, dh, initial),
    }
    grads, *others = contestants["naive"]()
    expected = [grads["W_xh"], grads["W_hh"], *others]
    grads, *others = contestants["ours"]()
    W_xh, W_hh, *rest = contestants["torch"]()
    theirs = [W_xh, W_hh, *rest[2:]]  # without the two biases
    for ours, torchs, e in zip([grads["W_xh"], grads["W_hh"], *others], theirs, expected):
        for who, value in (("ours", ours), ("torch", torchs.numpy())):
            if not np.abs(value - e).max() < 1e-3 * np.abs(e).max():
                raise RuntimeError(f"{cell} at T={T}, B={B}: {who} and naive do not agree")
    return contestants | {"floor": floor.contestant(cell, T, B, I, H)}


def _numpy(forward, backward, params, x, dh, initial):
    def run():
        states = forward(params, x, *initial)
        states = states if isinstance(states, tuple) else (states,)
        return backward(params, x, *states, dh)

    return run


def _torch(cell, params, x, dh, initial):
    import torch

    torch.set_num_threads(1)
    H, I = dh.shape[2], x.shape[2]
    net = getattr(torch.nn, cell.upper())(I, H)
    second = np.zeros_like(params["b_h"])  # torch has two biases where one will do
    if cell == "gru":
        second[2 * H :] = params["b_n"]
    with torch.no_grad():
        for w, value in zip(
            net.parameters(), (params["W_xh"], params["W_hh"], params["b_h"], second)
        ):
            w.copy_(torch.from_numpy(value))
    x = torch.tensor(x, requires_grad=True)
    initial = [torch.tensor(s[None], requires_grad=True) for s in initial]
    state = tuple(initial) if cell == "lstm" else initial[0]
    dh = torch.tensor(dh)
    wanted = [*net.parameters(), x, *initial]

    def run():
        h, _ = net(x, state)
        return torch.autograd.grad(h, wanted, dh)  # new gradients: none to reset to None

    return run


HEAD = (
    f"{'cell':4} {'T':>4} {'B':>3} {'I':>4} {'H':>4} "
    f"{'ours':>9} {'torch':>9} {'naive':>9} {'floor':>9}  "
    f"{'ours/torch':>10} {'naive/ours':>10} {'ours/floor':>10}"
)


def _line(row):
    ours, theirs, naive, least = (row[f"{n}_ms"] for n in ("ours", "torch", "naive", "floor"))
    return (
        f"{row['cell']:4} {row['T']:4} {row['B']:3} {row['I']:4} {row['H']:4} "
        f"{ours:9.3f} {theirs:9.3f} {naive:9.3f} {least:9.3f}  "
        f"{ours / theirs:10.2f} {naive / ours:10.2f} {ours / least:10.2f}"
    )


def summary(rows):
    """Say which targets the times of :func:`measure` meet, one in a line."""
    ratio = [r["ours_ms"] / r["torch_ms"] for r in rows]
    gain = [r["naive_ms"] / r["ours_ms"] for r in rows]
    plain = [q for q, r in zip(ratio, rows) if r["cell"] != "lstm"]
    alone = [g for g, r in zip(gain, rows) if r["cell"] == "lstm" and r["B"] == 1]
    batch = [g for g, r in zip(gain, rows) if r["cell"] == "lstm" and r["B"] > 1]
    mean = math.exp(sum(map(math.log, ratio)) / len(ratio))
    lines = [_verdict("ours/torch, geometric mean of all rows", mean, at_most=0.67)]
    lines += [_verdict("ours/torch, largest of rnn and gru", max(plain), at_most=1.05)]
    lines += [_verdict("ours/torch, largest of all", max(ratio), at_most=1.45)]
    if alone:
        lines += [_verdict("naive/ours, lstm at batch 1", min(alone), at_least=3)]
    if batch:
        lines += [_verdict("naive/ours, least of the other lstm", min(batch), at_least=1.5)]
    return "\n".join(lines)


def _verdict(text, value, at_most=math.inf, at_least=0):
    target = f"at least {at_least}" if at_least else f"at most {at_most}"
    met = "met" if at_least <= value <= at_most else "NOT met"
    return f"{text:40} {value:5.2f}   target {target:12} {met}"
