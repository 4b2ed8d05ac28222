"""The fast NumPy cells refuse bad input, and say what was expected and what came."""

import warnings

import numpy as np
import pytest
from kernel_problems import (
    F32,
    F64,
    KERNELS,
    assert_close,
    each_cell,
    problem,
    run_backward,
    run_forward,
)

from rnnlib.scratch import inputs, stepwise


@each_cell
@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([3, 0, 2], ValueError, r"lengths in 1\.\.T=4, got 0 for sequence 1"),
        ([3, 1, 5], ValueError, r"lengths in 1\.\.T=4, got 5 for sequence 2"),
        ([-1, 1, 2], ValueError, r"lengths in 1\.\.T=4, got -1 for sequence 0"),
        (np.array([3.0, 1.0, 2.0]), TypeError, "integer lengths, got float64"),
        (np.array([True, True, True]), TypeError, "integer lengths, got bool"),
        ([3, 1], ValueError, r"lengths of shape \(B,\) = \(3,\), got \(2,\)"),
        ([[3, 1, 2]], ValueError, r"got \(1, 3\)"),
        (3, ValueError, r"got \(\)"),
    ],
)
def test_bad_lengths(cell, lengths, error, message):
    p, q = problem(cell, 0, T=4, B=3, I=2, H=3)
    _, tape = run_forward(cell, p, q)
    q["lengths"] = lengths
    with pytest.raises(error, match=message):
        run_forward(cell, p, q)
    with pytest.raises(error, match=message):
        run_backward(cell, p, q, tape)


@each_cell
@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (-1, np.int64, r"token ids in 0\.\.5, got -1 at step t=2, sequence 1"),
        (6, np.uint8, r"token ids in 0\.\.5, got 6 at step t=2, sequence 1"),
        (np.array(200).astype(np.int8), np.int8, "got -56 at step t=2, sequence 1.*too large"),
        (2**40, np.int64, f"got {2**40}"),
        (2**64 - 1, np.uint64, f"got {2**64 - 1}"),
    ],
)
def test_bad_token_ids(cell, value, dtype, message):
    p, q = problem(cell, 0, T=4, B=3, I=6, H=3)
    _, tape = run_forward(cell, p, q)
    q["x"] = np.zeros((4, 3), dtype)
    q["x"][2, 1] = value
    with pytest.raises(ValueError, match=message):
        run_forward(cell, p, q)
    with pytest.raises(ValueError, match=message):
        run_backward(cell, p, q, tape)


@each_cell
def test_half_precision_and_mixed_precision_are_refused(cell):
    p, q = problem(cell, 0, T=4, B=3, I=2, H=3, dtype=F32)
    half = {name: w.astype(np.float16) for name, w in p.items()}
    with pytest.raises(TypeError, match="float32 or float64, got float16"):
        run_forward(cell, half, q)
    for name in ("x", "h_0", "c_0"):
        if name == "c_0" and cell != "lstm":
            continue
        for dtype in (np.float16, F64):
            mixed = q | {name: q[name].astype(dtype)}
            with pytest.raises(TypeError, match=f"{name} of dtype float32.*{dtype.__name__}"):
                run_forward(cell, p, mixed)
    with pytest.raises(TypeError, match="W_xh of dtype float64 like W_hh, got float32"):
        run_forward(cell, p | {"W_hh": p["W_hh"].astype(F64)}, q)
    _, tape = run_forward(cell, p, q)
    with pytest.raises(TypeError, match="dh of dtype float32.*float64"):
        run_backward(cell, p, q | {"dh": q["dh"].astype(F64)}, tape)


# what is not finite, and what does not fit


@each_cell
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_inputs_that_are_not_finite_are_named_with_their_step(cell, value):
    p, q = problem(cell, 0, T=6, B=3, I=2, H=3, lengths=False)
    x = q["x"].copy()
    x[4, 0, 1] = x[5, 1, 0] = value
    with pytest.raises(ValueError, match="x is not finite, first at step t=4"):
        run_forward(cell, p, q | {"x": x})
    x[3, 2, 0] = -value
    with pytest.raises(ValueError, match="step t=3"):
        run_forward(cell, p, q | {"x": x})
    for name in ("h_0", "c_0") if cell == "lstm" else ("h_0",):
        state = q[name].copy()
        state[1, 2] = value
        with pytest.raises(ValueError, match=rf"{name} is not finite.*\(1, 2\)"):
            run_forward(cell, p, q | {name: state})
    _, tape = run_forward(cell, p, q)
    for name in ("dh", "dc_T") if cell == "lstm" else ("dh",):
        gradient = q[name].copy()
        gradient[2, 1] = value
        with pytest.raises(ValueError, match=rf"{name} is not finite.*\(2, 1"):
            run_backward(cell, p, q | {name: gradient}, tape)


@each_cell
def test_weights_that_are_not_numbers_are_named(cell):
    p, q = problem(cell, 0, T=4, B=3, I=2, H=3)
    for name, w in p.items():
        bad = w.copy()
        bad.flat[-1] = np.nan
        with pytest.raises(ValueError, match=f"{name} is not finite"):
            run_forward(cell, p | {name: bad}, q)


def test_a_state_that_overflowed_is_named_with_its_step():
    h = np.zeros((5, 2, 3))
    inputs.check_state(h, {})
    h[3:, 1] = np.nan
    with pytest.raises(ValueError, match="state is not finite, first at step t=2.*overflowed"):
        inputs.check_state(h, {})


@each_cell
def test_a_tape_of_another_run_is_refused(cell):
    p, q = problem(cell, 0, T=4, B=3, I=2, H=3)
    _, tape = run_forward(cell, p, q)
    for n, array in enumerate(tape):
        for other in (array[:-1], array.astype(F32)):
            bad = (*tape[:n], other, *tape[n + 1 :])
            with pytest.raises(ValueError, match="pass what forward returned for these inputs"):
                run_backward(cell, p, q, bad)
    with pytest.raises(TypeError, match="expected dh as a NumPy array, got a list"):
        run_backward(cell, p, q | {"dh": q["dh"].tolist()}, tape)


@each_cell
def test_weights_of_another_size_are_refused(cell):
    p, q = problem(cell, 0, T=4, B=3, I=2, H=3)
    with pytest.raises(ValueError, match=r"expected W_xh of shape .* another cell or size"):
        run_forward(cell, p | {"W_xh": p["W_xh"][1:]}, q)


@each_cell
def test_huge_but_finite_inputs_pass(cell):
    p, q = problem(cell, 0, T=4, B=3, I=2, H=3, dtype=F32)
    q["x"] = np.full_like(q["x"], 2e38)  # their sum is beyond float32
    p["W_xh"] *= F32(1e-38)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        states, _ = run_forward(cell, p, q)
    expected, _ = run_forward(cell, p, q, getattr(stepwise, f"{cell}_forward"))
    assert_close(states, expected, 1e-5)


@each_cell
@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("x", (4, 3, 5), r"x of shape \(T, B, I=2\), got \(4, 3, 5\)"),
        ("x", (2, 4, 3), "batch-first or transposed"),
        ("x", (4, 2), "integer dtype"),
        ("x", (0, 3, 2), "got T=0, B=3"),
        ("x", (4, 0, 2), "got T=4, B=0"),
        ("h_0", (6, 3), r"h_0 of shape \(B, H\) = \(3, 6\), got \(6, 3\)"),
        ("dh", (5, 3, 6), r"dh of shape \(T, B, H\) = \(4, 3, 6\), got \(5, 3, 6\)"),
    ],
)
def test_bad_shapes(cell, name, shape, message):
    p, q = problem(cell, 0, T=4, B=3, I=2, H=6, lengths=False)
    _, tape = run_forward(cell, p, q)
    q[name] = np.zeros(shape)
    call = (run_backward, tape) if name == "dh" else (run_forward,)
    with pytest.raises(ValueError, match=message):
        call[0](cell, p, q, *call[1:])


def test_bad_shapes_of_the_cell_state():
    p, q = problem("lstm", 0, T=4, B=3, I=2, H=6, lengths=False)
    _, tape = run_forward("lstm", p, q)
    with pytest.raises(ValueError, match=r"c_0 of shape \(B, H\) = \(3, 6\), got \(1, 3, 6\)"):
        run_forward("lstm", p, q | {"c_0": np.zeros((1, 3, 6))})
    with pytest.raises(ValueError, match=r"dc_T of shape \(B, H\) = \(3, 6\), got \(6, 3\)"):
        run_backward("lstm", p, q | {"dc_T": np.zeros((6, 3))}, tape)


@each_cell
def test_weights_and_states_that_do_not_belong_together(cell):
    p, q = problem(cell, 0, T=4, B=3, I=2, H=6, lengths=False)
    for name, w in p.items():
        with pytest.raises(ValueError, match="expected W_.h" if name == "W_xh" else name):
            run_forward(cell, p | {name: w[1:]}, q)
    _, tape = run_forward(cell, p, q)
    with pytest.raises(ValueError, match="pass what forward returned"):
        run_backward(cell, p, q, (tape[0][1:], *tape[1:]))
    _, other = run_forward(cell, p, q | {"x": q["x"][:3]})
    with pytest.raises(ValueError, match="expected h of shape"):
        run_backward(cell, p, q, other)
    with pytest.raises(ValueError, match="sizes of at least 1"):
        KERNELS[cell].init(2, 0, np.random.default_rng(0))
