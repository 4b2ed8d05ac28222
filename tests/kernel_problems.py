"""Problems for the NumPy kernels, and one way to run every cell on them."""

import numpy as np
import pytest

from rnnlib.scratch import elman, gru, lstm, stepwise

KERNELS = {"elman": elman, "lstm": lstm, "gru": gru}
GATES = {"elman": 1, "lstm": 4, "gru": 3}
F32, F64 = np.float32, np.float64
each_cell = pytest.mark.parametrize("cell", KERNELS)


def problem(cell, seed, T, B, I, H, dtype=F64, initial=True, lengths=True):
    """Draw weights, and what goes into forward and backward, of which some may be None."""
    rng = np.random.default_rng(seed)
    p = KERNELS[cell].init(I, H, rng, dtype=dtype, orthogonal=bool(seed % 2))
    for name in p.keys() & {"b_h", "b_n"}:
        p[name] = rng.standard_normal(p[name].shape).astype(dtype)
    q = {"x": rng.standard_normal((T, B, I)).astype(dtype)}
    for name in ("h_0", "c_0", "dc_T"):
        state = rng.standard_normal((B, H)).astype(dtype)
        q[name] = state if initial else None
    q["dh"] = rng.standard_normal((T, B, H)).astype(dtype)
    q["lengths"] = rng.integers(1, T + 1, B) if lengths else None
    return p, q


def run_forward(cell, p, q, forward=None):
    """Return the states, and what backward wants of forward's results."""
    forward = forward or KERNELS[cell].forward
    second = {"c_0": q["c_0"]} if cell == "lstm" else {}
    tape = forward(p, q["x"], q["h_0"], **second, lengths=q["lengths"])
    tape = tape if isinstance(tape, tuple) else (tape,)
    return dict(zip("hc" if cell == "lstm" else "h", tape)), tape


def run_backward(cell, p, q, tape, backward=None):
    backward = backward or KERNELS[cell].backward
    second = {"dc_T": q["dc_T"]} if cell == "lstm" else {}
    grads, *others = backward(p, q["x"], *tape, q["dh"], **second, lengths=q["lengths"])
    names = ("dx", "dh_0", "dc_0") if cell == "lstm" else ("dx", "dh_0")
    assert len(others) == len(names)
    assert grads.keys() == p.keys()
    return grads | dict(zip(names, others))


def fast(cell, p, q):
    states, tape = run_forward(cell, p, q)
    return states | run_backward(cell, p, q, tape)


def plain(cell, p, q):
    forward, backward = (getattr(stepwise, f"{cell}_{way}") for way in ("forward", "backward"))
    states, tape = run_forward(cell, p, q, forward)
    return states | run_backward(cell, p, q, tape, backward)


def assert_close(found, expected, tolerance):
    """Compare arrays name by name, relative to the largest entry of each."""
    assert found.keys() == expected.keys()
    for name, e in expected.items():
        assert found[name].shape == e.shape, name
        assert found[name].dtype == e.dtype, name
        error = np.abs(found[name] - e).max() / max(1, np.abs(e).max())
        assert error <= tolerance, f"{name} is off by {error:.1e}"
