"""The fast NumPy cells: equal to the plain ones and to torch, and what callers rely on."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_problems import (
    F32,
    F64,
    GATES,
    KERNELS,
    assert_close,
    each_cell,
    fast,
    plain,
    problem,
    run_backward,
    run_forward,
)

from rnnlib.scratch import lstm
from rnnlib.scratch.gradcheck import check_gradients

fixed = settings(derandomize=True, deadline=None, max_examples=120)
small = st.tuples(*[st.integers(1, 9)] * 4)
large = st.tuples(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 70),
    st.sampled_from([31, 64, 96, 128, 130]),
)
seeds = st.integers(0, 2**32 - 1)


def with_torch(cell, p, q):
    """Do the same with torch.nn in float64; states past a sequence's end are its last."""
    (T, B, I), H = q["x"].shape, q["dh"].shape[2]
    net = getattr(torch.nn, {"elman": "RNN"}.get(cell, cell.upper()))(I, H, dtype=torch.float64)
    w = {name: torch.tensor(value, requires_grad=True) for name, value in p.items()}
    second = torch.zeros(len(p["b_h"]), dtype=torch.float64)
    if cell == "gru":
        second = torch.cat([second[: 2 * H], w["b_n"]])
    weights = dict(zip(dict(net.named_parameters()), (w["W_xh"], w["W_hh"], w["b_h"], second)))
    w["dx"] = torch.tensor(q["x"], requires_grad=True)
    for name in ("h_0", "c_0") if cell == "lstm" else ("h_0",):
        value = np.zeros((B, H)) if q[name] is None else q[name]
        w[f"d{name}"] = torch.tensor(value, requires_grad=True)
    first = w["dh_0"][None]
    state = (first, w["dc_0"][None]) if cell == "lstm" else first
    x = w["dx"]
    if q["lengths"] is not None:
        x = torch.nn.utils.rnn.pack_padded_sequence(
            x, torch.tensor(q["lengths"]), enforce_sorted=False
        )
    out, last = torch.func.functional_call(net, weights, (x, state))
    h_T, c_T = last if cell == "lstm" else (last, None)
    if q["lengths"] is not None:
        out, _ = torch.nn.utils.rnn.pad_packed_sequence(out, total_length=T)
        ended = torch.arange(T)[:, None, None] >= torch.tensor(q["lengths"])[:, None]
        out = torch.where(ended, h_T, out)
    loss = (out * torch.tensor(q["dh"])).sum()
    if cell == "lstm" and q["dc_T"] is not None:
        loss = loss + (c_T * torch.tensor(q["dc_T"])).sum()
    loss.backward()
    found = {name: value.grad.numpy() for name, value in w.items()}
    found["h"] = torch.cat([first, out]).detach().numpy()
    if cell == "lstm":
        found["c_T"] = c_T[0].detach().numpy()
    return found


# equal to the plain form, to torch and to central differences


@each_cell
@fixed
@given(seeds, small | large, st.sampled_from([F32, F64]), st.booleans(), st.booleans())
@example(0, (1, 1, 1, 1), F32, False, False)
@example(0, (300, 1, 3, 64), F64, True, True)
@example(1, (90, 32, 9, 128), F32, True, True)  # long enough to be cut into blocks
@example(2, (3, 200, 5, 256), F64, False, True)  # many rows, as BLAS wants them
@example(3, (9, 64, 20, 256), F32, False, False)  # few rows: cut into tiles of columns
@example(4, (5, 64, 300, 128), F64, True, False)
def test_fast_is_plain(cell, seed, size, dtype, initial, lengths):
    p, q = problem(cell, seed, *size, dtype, initial, lengths)
    found = fast(cell, p, q)
    assert {a.dtype for a in found.values()} == {np.dtype(dtype)}
    assert_close(found, plain(cell, p, q), 1e-12 if dtype is F64 else 2e-5)


@each_cell
@fixed
@given(seeds, small | large, st.booleans(), st.booleans())
def test_fast_is_torch(cell, seed, size, initial, lengths):
    p, q = problem(cell, seed, *size, F64, initial, lengths)
    found = fast(cell, p, q)
    if cell == "lstm":
        found["c_T"] = found.pop("c")[-1]
    assert_close(found, with_torch(cell, p, q), 1e-10)


@each_cell
@pytest.mark.parametrize("seed", range(3))
def test_gradients_agree_with_central_differences(cell, seed):
    p, q = problem(cell, seed, T=5, B=3, I=2, H=3)
    q["lengths"] = np.array([3, 5, 1])
    found = fast(cell, p, q)

    def loss():
        states, _ = run_forward(cell, p, q)
        total = (states["h"][1:] * q["dh"]).sum()
        return total + (states["c"][-1] * q["dc_T"]).sum() if cell == "lstm" else total

    moved = p | {f"d{name}": q[name] for name in ("x", "h_0", "c_0")}
    grads = {name: found[name] for name in moved if name in found}
    assert len(grads) == {"elman": 5, "lstm": 6, "gru": 6}[cell]
    assert max(check_gradients(loss, moved, grads, eps=1e-4).values()) < 1e-7


# lengths


@each_cell
def test_past_its_end_a_sequence_keeps_its_state_and_input_does_not_matter(cell):
    p, q = problem(cell, 0, T=6, B=4, I=3, H=5)
    q["lengths"] = [2, 6, 1, 4]
    found = fast(cell, p, q)
    for b, n in enumerate(q["lengths"]):
        for name in found.keys() & {"h", "c"}:
            assert (found[name][n:, b] == found[name][n, b]).all()
        assert (found["dx"][n:, b] == 0).all()
        q["x"][n:, b] += 100
    assert_close(fast(cell, p, q), found, 0)


@each_cell
def test_lengths_in_any_order_and_of_any_kind(cell):
    p, q = problem(cell, 0, T=7, B=6, I=3, H=4)
    found = fast(cell, p, q)
    order = np.argsort(-q["lengths"])
    assert list(order) != list(range(6))
    ordered = {name: a[order] if a.ndim < 3 else a[:, order] for name, a in q.items()}
    again = fast(cell, p, ordered)
    for name in found.keys() - p.keys():
        a = found[name]
        found[name] = a[order] if a.ndim < 3 else a[:, order]
    assert_close(again, found, 1e-13)
    for lengths in (list(q["lengths"]), q["lengths"].astype(np.uint8)):
        assert_close(fast(cell, p, q | {"lengths": lengths}), fast(cell, p, q), 0)
    full = fast(cell, p, q | {"lengths": np.full(6, 7)})
    assert_close(full, fast(cell, p, q | {"lengths": None}), 1e-13)


# token ids


@each_cell
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint8, np.uint64])
@pytest.mark.parametrize(("T", "B", "lengths"), [(9, 4, False), (9, 4, True), (150, 8, True)])
def test_token_ids_are_one_hot_inputs(cell, dtype, T, B, lengths):
    p, q = problem(cell, 3, T, B, I=6, H=5, lengths=lengths)
    ids = np.random.default_rng(0).integers(0, 5, (T, B))  # id 5 never occurs
    expected = plain(cell, p, q | {"x": np.eye(6)[ids]})
    found = fast(cell, p, q | {"x": ids.astype(dtype)})
    assert found.pop("dx") is None
    del expected["dx"]
    assert_close(found, expected, 1e-12)
    assert (found["W_xh"][:, 5] == 0).all()


# arrays of other kinds


def strided(a):
    """Return the same numbers in an array that is nowhere contiguous."""
    wide = np.zeros(tuple(2 * n for n in a.shape), a.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def backwards(a):
    return np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1]


def transposed(a):
    return np.asfortranarray(a)


@each_cell
@pytest.mark.parametrize("view", [strided, backwards, transposed])
def test_arrays_need_not_be_contiguous(cell, view):
    p, q = problem(cell, 0, T=6, B=5, I=3, H=4)
    expected = fast(cell, p, q)
    for name in ("x", "h_0", "c_0", "dh", "dc_T"):
        other = view(q[name])
        assert not other.flags.c_contiguous
        assert_close(fast(cell, p, q | {name: other}), expected, 1e-13)
    other = {name: w if w.ndim == 1 else view(w) for name, w in p.items()}
    assert_close(fast(cell, other, q), expected, 1e-13)
    batch_first = q | {"x": np.ascontiguousarray(q["x"].swapaxes(0, 1)).swapaxes(0, 1)}
    assert_close(fast(cell, p, batch_first), expected, 1e-13)
    ids = np.random.default_rng(0).integers(0, 3, (6, 5))
    expected = fast(cell, p, q | {"x": ids})
    found = fast(cell, p, q | {"x": view(ids)})
    assert found.pop("dx") is expected.pop("dx") is None
    assert_close(found, expected, 1e-13)


# what callers may rely on


@each_cell
def test_arguments_are_left_alone(cell):
    for size in ((5, 3, 2, 4), (40, 32, 3, 64)):
        p, q = problem(cell, 0, *size)
        before = {name: a.tobytes() for name, a in (p | q).items()}
        states, tape = run_forward(cell, p, q)
        kept = {name: a.tobytes() for name, a in states.items()}
        found = run_backward(cell, p, q, tape)
        assert before == {name: a.tobytes() for name, a in (p | q).items()}
        assert kept == {name: a.tobytes() for name, a in states.items()}
        for name, a in (found | states).items():
            for given_name, b in (p | q).items():
                assert not np.shares_memory(a, b), f"{name} is a view of {given_name}"


@each_cell
def test_a_second_backward_gives_the_same(cell):
    p, q = problem(cell, 0, T=40, B=32, I=3, H=64)
    _, tape = run_forward(cell, p, q)
    first = run_backward(cell, p, q, tape)
    assert_close(run_backward(cell, p, q, tape), first, 0)


@each_cell
def test_calls_do_not_disturb_each_other(cell):
    """What one call returned stays as it is while others of the same shapes run."""
    p, q = problem(cell, 0, T=5, B=3, I=2, H=4)
    _, r = problem(cell, 1, T=5, B=3, I=2, H=4)
    expected = fast(cell, p, q), fast(cell, p, r)
    states_q, tape_q = run_forward(cell, p, q)
    states_r, tape_r = run_forward(cell, p, r)
    back_q = run_backward(cell, p, q, tape_q)
    back_r = run_backward(cell, p, r, tape_r)
    assert_close(states_q | back_q, expected[0], 0)
    assert_close(states_r | back_r, expected[1], 0)


@each_cell
def test_peak_memory_is_that_of_the_stored_states(cell):
    p, q = problem(cell, 0, T=200, B=16, I=32, H=64, dtype=F32)
    fast(cell, p, q)  # what is imported or cached once does not count
    tracemalloc.start()
    try:
        _, tape = run_forward(cell, p, q)
        stored = sum(np.asarray(a).nbytes for a in tape)
        found = run_backward(cell, p, q, tape)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    asked_for = sum(a.nbytes for a in found.values())
    assert stored >= 201 * 16 * 64 * 4 * {"elman": 1, "lstm": 6, "gru": 5}[cell] * 0.99
    assert peak - asked_for <= 1.2 * stored


@each_cell
def test_initial_weights(cell):
    p = KERNELS[cell].init(7, 40, np.random.default_rng(0), dtype=F32)
    assert {w.dtype for w in p.values()} == {np.dtype(F32)}
    limit = np.sqrt(6 / 47)
    for block in p["W_hh"].reshape(GATES[cell], 40, 40):
        np.testing.assert_allclose(block @ block.T, np.eye(40), atol=1e-5)
    for block in p["W_xh"].reshape(GATES[cell], 40, 7):
        assert 0.9 * limit < np.abs(block).max() <= limit
    bias = np.zeros((GATES[cell], 40))
    if cell == "lstm":
        bias[1] = 1  # the forget gate begins open
        other = lstm.init(7, 40, np.random.default_rng(0), forget_bias=-2.0)
        assert (other["b_h"].reshape(4, 40)[1] == -2).all()
    assert (p["b_h"] == bias.ravel()).all()
    assert p.keys() == {"W_xh", "W_hh", "b_h"} | ({"b_n"} if cell == "gru" else set())


def test_scratch_does_not_import_torch():
    code = (
        "import sys; from rnnlib.scratch import elman, gru, inputs, lstm, stepwise; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
