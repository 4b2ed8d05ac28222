"""The NumPy nets: gradients by central differences and torch, and what bad input says."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlib.scratch import elman, losses, optim
from rnnlib.scratch.gradcheck import central_differences, check_gradients, relative_error

sizes = st.integers(1, 5)


def problem(seed, T, B, I, H, V=3):
    rng = np.random.default_rng(seed)
    p = elman.init(I, H, rng)
    p["b_h"] = rng.standard_normal(H)
    p |= {"W_hy": elman.xavier(V, H, rng), "b_y": rng.standard_normal(V)}
    p |= {"x": rng.standard_normal((T, B, I)), "h_0": rng.standard_normal((B, H))}
    return p, rng.integers(0, V, (T, B)), rng


def loss_and_gradients(p, targets):
    h = elman.forward(p, p["x"], p["h_0"])
    y = losses.linear(h[1:], p["W_hy"], p["b_y"])
    loss, dy = losses.softmax_cross_entropy(y, targets)
    g, dh = losses.linear_backward(h[1:], p["W_hy"], dy)
    recurrent, dx, dh_0 = elman.backward(p, p["x"], h, dh)
    return loss, g | recurrent | {"x": dx, "h_0": dh_0}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), sizes, sizes, sizes, sizes)
def test_elman_gradients_agree_with_torch_on_random_shapes(seed, T, B, I, H):
    p, targets, _ = problem(seed, T, B, I, H)
    loss, g = loss_and_gradients(p, targets)
    net = torch.nn.RNN(I, H, dtype=torch.float64)
    q = {name: torch.tensor(w, requires_grad=True) for name, w in p.items()}
    weights = {
        "weight_ih_l0": q["W_xh"],
        "weight_hh_l0": q["W_hh"],
        "bias_ih_l0": q["b_h"],
        "bias_hh_l0": torch.zeros(H, dtype=torch.float64),
    }
    out, _ = torch.func.functional_call(net, weights, (q["x"], q["h_0"][None]))
    y = out @ q["W_hy"].T + q["b_y"]
    expected = torch.nn.functional.cross_entropy(
        y.reshape(T * B, -1), torch.tensor(targets.ravel())
    )
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    for name in g:
        np.testing.assert_allclose(g[name], q[name].grad.numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_elman_gradients_agree_with_central_differences(seed):
    p, targets, _ = problem(seed, T=6, B=2, I=3, H=4)
    _, g = loss_and_gradients(p, targets)
    errors = check_gradients(lambda: loss_and_gradients(p, targets)[0], p, g)
    assert set(errors) == {"W_xh", "W_hh", "b_h", "W_hy", "b_y", "x", "h_0"}
    assert max(errors.values()) < 1e-7


def test_token_ids_are_one_hot_inputs():
    p, targets, rng = problem(0, T=7, B=4, I=5, H=3)
    ids = rng.integers(0, 4, (7, 4))  # id 4 never occurs: its column gets no gradient
    one_hot = np.eye(5)[ids]
    h = elman.forward(p, ids, p["h_0"])
    np.testing.assert_allclose(h, elman.forward(p, one_hot, p["h_0"]), atol=1e-15)
    dh = rng.standard_normal((7, 4, 3))
    by_id, dx, dh_0 = elman.backward(p, ids, h, dh)
    by_vector, _, dh_0_again = elman.backward(p, one_hot, h, dh)
    assert dx is None
    np.testing.assert_allclose(dh_0, dh_0_again)
    for name in by_id:
        np.testing.assert_allclose(by_id[name], by_vector[name], atol=1e-13)
    assert np.all(by_id["W_xh"][:, 4] == 0)


def test_float32_stays_float32():
    p, _, rng = problem(0, T=3, B=2, I=3, H=4)
    p = {name: w.astype(np.float32) for name, w in p.items()}
    h = elman.forward(p, p["x"])
    grads, dx, dh_0 = elman.backward(p, p["x"], h, np.ones((3, 2, 4), np.float32))
    assert {a.dtype for a in (h, dx, dh_0, *grads.values())} == {np.dtype(np.float32)}


def test_backward_leaves_its_arguments_alone():
    p, _, rng = problem(0, T=3, B=2, I=3, H=4)
    h, dh = elman.forward(p, p["x"]), rng.standard_normal((3, 2, 4))
    before = [a.copy() for a in (h, dh, p["x"], p["W_hh"])]
    elman.backward(p, p["x"], h, dh)
    for old, now in zip(before, (h, dh, p["x"], p["W_hh"])):
        assert np.array_equal(old, now)


def test_initial_weights():
    p = elman.init(7, 40, np.random.default_rng(0), np.float32)
    np.testing.assert_allclose(p["W_hh"] @ p["W_hh"].T, np.eye(40), atol=1e-5)
    assert {w.dtype for w in p.values()} == {np.dtype(np.float32)}
    limit = np.sqrt(6 / 47)
    assert 0.9 * limit < np.abs(p["W_xh"]).max() <= limit
    q = elman.init(7, 40, np.random.default_rng(0), orthogonal=False)
    assert np.abs(q["W_hh"]).max() <= np.sqrt(6 / 80)


BAD_INPUTS = [
    (np.zeros((2, 4, 3))[:, :, :2], None, ValueError, r"expected x of shape \(T, B, I=3\)"),
    (np.zeros((3, 4, 2)), None, ValueError, "batch-first or transposed"),
    (np.zeros((4, 2)), None, ValueError, "integer dtype"),
    (np.zeros((0, 2, 3)), None, ValueError, "at least one step and one sequence, got T=0, B=2"),
    (np.zeros((2, 0, 3)), None, ValueError, "got T=2, B=0"),
    (np.zeros((0, 2), int), None, ValueError, "got T=0, B=2"),
    (np.array([[0, 3]]), None, ValueError, r"token ids in 0..2, got 3"),
    (np.array([[-1, 0]]), None, ValueError, r"token ids in 0..2, got -1"),
    (np.zeros((2, 1, 3), np.float32), None, TypeError, "expected x of dtype float64"),
    (np.zeros((2, 1, 3), np.float16), None, TypeError, "got float16"),
    (np.array([0.0, np.nan, 0.0]).reshape(3, 1, 1) * np.ones(3), None, ValueError, "step t=1"),
    (
        np.zeros((2, 4, 3)),
        np.zeros((3, 5)),
        ValueError,
        r"expected h_0 of shape \(B, H\) = \(4, 5\)",
    ),
]


@pytest.mark.parametrize(("x", "h_0", "error", "message"), BAD_INPUTS)
def test_elman_names_what_is_wrong(x, h_0, error, message):
    p = elman.init(3, 5, np.random.default_rng(0))
    with pytest.raises(error, match=message):
        elman.forward(p, x, h_0)


def test_elman_refuses_weights_and_states_that_do_not_fit():
    p = elman.init(3, 5, np.random.default_rng(0))
    x = np.zeros((2, 4, 3))
    h = elman.forward(p, x)
    with pytest.raises(ValueError, match="pass what forward returned for these inputs"):
        elman.backward(p, x, h[1:], np.zeros((2, 4, 5)))
    with pytest.raises(ValueError, match="expected W_hh"):
        elman.forward(p | {"W_hh": np.zeros((5, 4))}, x)
    with pytest.raises(ValueError, match="sizes of at least 1"):
        elman.init(0, 5, np.random.default_rng(0))


def test_softmax_cross_entropy_against_torch_and_at_extremes():
    rng = np.random.default_rng(0)
    logits, targets = 5 * rng.standard_normal((4, 3, 6)), rng.integers(0, 6, (4, 3))
    loss, grad = losses.softmax_cross_entropy(logits, targets)
    q = torch.tensor(logits.reshape(12, 6), requires_grad=True)
    expected = torch.nn.functional.cross_entropy(q, torch.tensor(targets.ravel()))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(grad.reshape(12, 6), q.grad.numpy(), rtol=1e-12, atol=1e-16)
    loss, grad = losses.softmax_cross_entropy(np.array([[1e4, -1e4]]), np.array([0]))
    assert loss == 0
    assert np.isfinite(grad).all()


def test_squared_error_and_linear_against_central_differences():
    rng = np.random.default_rng(0)
    a = {
        "h": rng.standard_normal((3, 2, 4)),
        "W_hy": rng.standard_normal((5, 4)),
        "b_y": rng.standard_normal(5),
    }
    target = rng.standard_normal((3, 2, 5))

    def loss():
        return losses.squared_error(losses.linear(a["h"], a["W_hy"], a["b_y"]), target)[0]

    _, dy = losses.squared_error(losses.linear(a["h"], a["W_hy"], a["b_y"]), target)
    g, dh = losses.linear_backward(a["h"], a["W_hy"], dy)
    assert max(check_gradients(loss, a, g | {"h": dh}).values()) < 1e-7


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: losses.softmax_cross_entropy(np.zeros((2, 3)), np.array([0, 3])),
            ValueError,
            "got 3",
        ),
        (lambda: losses.softmax_cross_entropy(np.zeros((2, 3)), np.zeros(2)), TypeError, "float64"),
        (
            lambda: losses.softmax_cross_entropy(np.zeros((2, 3)), np.eye(3, dtype=int)[:2]),
            ValueError,
            "not one-hot",
        ),
        (
            lambda: losses.softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, int)),
            ValueError,
            "empty",
        ),
        (
            lambda: losses.squared_error(np.zeros((2, 3)), np.zeros(2)),
            ValueError,
            "expected a target",
        ),
        (lambda: losses.squared_error(np.zeros((0, 3)), np.zeros((0, 3))), ValueError, "empty"),
        (lambda: losses.linear(np.zeros((2, 4)), np.zeros((4, 3)), 0), ValueError, "stored"),
    ],
)
def test_losses_name_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: optim.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
        (lambda: optim.Adam(0.01), lambda p: torch.optim.Adam(p, 0.01)),
        (
            lambda: optim.Adam(0.01, (0.8, 0.9), 1e-3),
            lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.9), 1e-3),
        ),
    ],
)
def test_optimisers_follow_torch(ours, theirs):
    rng = np.random.default_rng(0)
    p = {"a": rng.standard_normal((3, 2)), "b": rng.standard_normal(4)}
    q = {name: torch.tensor(w, requires_grad=True) for name, w in p.items()}
    mine, other = ours(), theirs(list(q.values()))
    for _ in range(20):
        g = {name: rng.standard_normal(w.shape) for name, w in p.items()}
        for name in g:
            q[name].grad = torch.tensor(g[name])
        mine.step(p, g)
        other.step()
    for name in p:
        np.testing.assert_allclose(p[name], q[name].detach().numpy(), rtol=1e-10)


def test_clip_by_norm_follows_torch_and_keeps_direction():
    g = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    assert optim.clip_by_norm(g, 10) == 5
    assert g["a"][0] == 3  # short enough: untouched
    assert optim.clip_by_norm(g, 1) == 5
    np.testing.assert_allclose([*g["a"], *g["b"][0]], [0.6, 0, 0.8])
    g = {"good": np.ones(2), "bad": np.array([1.0, np.inf])}
    with pytest.raises(FloatingPointError, match="gradient of bad is not finite"):
        optim.clip_by_norm(g, 1)
    assert np.array_equal(g["good"], np.ones(2))


def test_central_differences_are_of_fourth_order_and_restore_the_array():
    w = np.array([[0.3, -1.2]])
    error = {}
    for step in (0.1, 0.05):
        estimate = central_differences(lambda: np.exp(w).sum(), w, step)
        error[step] = np.abs(estimate - np.exp([0.3, -1.2])).max()
    assert error[0.1] / error[0.05] == pytest.approx(16, rel=0.1)
    assert np.array_equal(w, [[0.3, -1.2]])
    with pytest.raises(ZeroDivisionError):
        central_differences(lambda: 1 / 0, w)
    assert np.array_equal(w, [[0.3, -1.2]])


def test_gradient_check_finds_a_wrong_entry_and_samples_large_arrays():
    w = {"w": np.linspace(-1, 1, 1000)}
    right = {"w": np.cos(w["w"])}
    calls = []

    def loss():
        calls.append(1)
        return np.sin(w["w"]).sum()

    assert check_gradients(loss, w, right, sample=20)["w"] < 1e-7
    assert len(calls) == 80
    wrong = {"w": np.cos(w["w"]) * (1 + 1e-3 * (np.arange(1000) == 500))}
    assert check_gradients(loss, w, wrong)["w"] == pytest.approx(5e-4, rel=1e-2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: relative_error([1.0], [1.0, 2.0]), ValueError, "one shape"),
        (lambda: relative_error([], []), ValueError, "got none"),
        (lambda: central_differences(float, np.zeros(2, np.float32)), TypeError, "too few digits"),
        (lambda: central_differences(float, np.zeros((4, 4))[:, :3]), ValueError, "contiguous"),
        (
            lambda: check_gradients(float, {"a": np.zeros(2)}, {"b": np.zeros(2)}),
            KeyError,
            "no array",
        ),
        (
            lambda: check_gradients(float, {"a": np.zeros(2)}, {"a": np.zeros(3)}),
            ValueError,
            "got .3",
        ),
    ],
)
def test_gradient_check_names_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_relative_error_of_two_zeros_is_zero():
    assert relative_error([0.0, 1.0], [0.0, 1.0]) == 0


def test_scratch_does_not_import_torch():
    code = (
        "import sys, rnnlib.scratch.elman, rnnlib.scratch.losses, rnnlib.scratch.optim, "
        "rnnlib.scratch.ctc, rnnlib.scratch.gradcheck; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
