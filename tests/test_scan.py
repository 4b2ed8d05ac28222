"""The scan equals the loop, forward and backward; it takes the memory it says, and complains."""

import warnings

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from rnnlib.nets import scan as module
from rnnlib.nets.scan import scan

REAL = (torch.float32, torch.float64)
FACTORS = {
    "gates": lambda shape, g: torch.rand(shape, generator=g, dtype=torch.float64),
    "signed": lambda shape, g: 2 * torch.rand(shape, generator=g, dtype=torch.float64) - 1,
    "zero": lambda shape, g: torch.zeros(shape, dtype=torch.float64),
    "one": lambda shape, g: torch.ones(shape, dtype=torch.float64),
    "minus one": lambda shape, g: -torch.ones(shape, dtype=torch.float64),
    "near one": lambda shape, g: 1 - 1e-3 * torch.rand(shape, generator=g, dtype=torch.float64),
    "often zero": lambda shape, g: (
        torch.rand(shape, generator=g, dtype=torch.float64) * (torch.rand(shape, generator=g) > 0.3)
    ),
}


def by_steps(a, b, h):
    """The recurrence as it stands, and its gradient as it stands in the docstring of scan."""
    states = []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1)):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states, 1)


def gradients_by_steps(a, b, h_0, dh):
    h = torch.cat([h_0[:, None], by_steps(a, b, h_0)], 1)
    da, db, g = torch.empty_like(a), torch.empty_like(b), torch.zeros_like(h_0)
    for t in reversed(range(a.shape[1])):
        g = dh[:, t] + g
        da[:, t], db[:, t] = g * h[:, t].conj(), g
        g = a[:, t].conj() * g
    return da, db, g


def problem(B, T, H, kind="gates", seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    a = FACTORS[kind]((B, T, H), g)
    b, dh = torch.randn(2, B, T, H, generator=g, dtype=torch.float64)
    h_0 = torch.randn(B, H, generator=g, dtype=torch.float64)
    return [x.to(dtype) for x in (a, b, h_0, dh)]


def assert_close(found, expected, bound):
    error = (found.double() - expected).abs().max().item()
    scale = max(1, expected.abs().max().item())
    assert error <= bound * scale, f"off by {error:.2e} at a scale of {scale:.3g}"


@given(
    T=st.integers(1, 4096) | st.sampled_from([1, 63, 64, 65, 1023, 1024, 1025, 4095, 4096]),
    B=st.integers(1, 3),
    H=st.integers(1, 5),
    kind=st.sampled_from(sorted(FACTORS)),
    with_h_0=st.booleans(),
    seed=st.integers(0, 99),
)
@example(T=4096, B=1, H=2, kind="near one", with_h_0=True, seed=0)
@example(T=4096, B=1, H=2, kind="one", with_h_0=True, seed=0)
@example(T=4095, B=2, H=2, kind="minus one", with_h_0=True, seed=0)
@example(T=1, B=1, H=1, kind="zero", with_h_0=False, seed=0)
@settings(deadline=None, max_examples=50)
def test_equals_the_loop_forward_and_backward(T, B, H, kind, with_h_0, seed):
    exact = problem(B, T, H, kind, seed)
    if not with_h_0:
        exact[2].zero_()
    a, b, h_0, dh = (x.float() for x in exact)
    # The reference starts from the same rounded numbers, and goes on in float64.
    exact = [x.double() for x in (a, b, h_0, dh)]
    leaves = [x.requires_grad_() for x in ((a, b, h_0) if with_h_0 else (a, b))]
    h = scan(*leaves)
    assert_close(h.detach(), by_steps(*exact[:3]), 1e-5)
    for found, expected in zip(torch.autograd.grad(h, leaves, dh), gradients_by_steps(*exact)):
        assert_close(found, expected, 1e-5)


@pytest.mark.parametrize(
    ("B", "T", "H"), [(1, 700, 3), (2, 64, 5), (64, 70, 40), (1, 63, 2), (3, 1, 1)]
)
def test_equals_autograd_through_the_loop(B, T, H):
    a, b, h_0, dh = problem(B, T, H, "signed")
    leaves = [x.requires_grad_() for x in (a, b, h_0)]
    expected = by_steps(*leaves)
    h = scan(*leaves)
    torch.testing.assert_close(h, expected, rtol=0, atol=1e-12)
    found = torch.autograd.grad(h, leaves, dh)
    for x, y in zip(found, torch.autograd.grad(expected, leaves, dh)):
        torch.testing.assert_close(x, y, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("T", [1, 5, 20])
def test_gradcheck(T, dtype, monkeypatch):
    # So that 20 steps are cut into blocks, and these into blocks again.
    monkeypatch.setattr(module, "_SHORT", 4)
    monkeypatch.setattr(module, "_BLOCK", 3)
    g = torch.Generator().manual_seed(0)
    a, b = (0.9 * torch.randn(2, T, 2, generator=g, dtype=dtype) for _ in range(2))
    h_0 = torch.randn(2, 2, generator=g, dtype=dtype)
    assert torch.autograd.gradcheck(scan, [x.requires_grad_() for x in (a, b, h_0)])


def test_the_blocks_are_used(monkeypatch):
    a, b, h_0, _ = problem(1, 4096, 2)
    taken = []
    monkeypatch.setattr(module, "_loop", lambda a, b, h, out, reverse: taken.append(a.shape[1]))
    scan(a, b, h_0)
    assert max(taken) < 64


def test_memory_is_what_the_docstring_says():
    a, b, _, dh = problem(2, 5000, 8, dtype=torch.float32)
    size = a.numel() * a.element_size()
    h, peak, left = watch_memory(lambda: scan(a, b))
    assert left == pytest.approx(size, rel=0.01)
    assert peak <= 1.25 * size
    leaves = [a.requires_grad_(), b.requires_grad_()]
    h = scan(*leaves)
    _, peak, left = watch_memory(lambda: torch.autograd.grad(h, leaves, dh))
    assert left <= 2.01 * size
    assert peak <= 2.25 * size


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_memory_in_half_precision(dtype):
    a, b, _, dh = problem(1, 5000, 8, dtype=dtype)
    size = 4 * a.numel()
    leaves = [a.requires_grad_(), b.requires_grad_()]
    h, peak, left = watch_memory(lambda: scan(*leaves))
    assert peak <= 6 * size
    assert left == pytest.approx(size / 2, rel=0.01)  # nothing is kept in float32
    assert watch_memory(lambda: torch.autograd.grad(h, leaves, dh))[1] <= 6 * size


def watch_memory(function):
    """Return the result, and the bytes of CPU memory taken at the peak and at the end."""
    with (
        warnings.catch_warnings(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record,
    ):
        warnings.simplefilter("ignore")
        result = function()
    now = peak = 0
    events = record.profiler.kineto_results.events()
    for event in sorted(events, key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    assert peak > 0
    return result, peak, now


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("T", [3, 500])
def test_half_precision_sums_in_float32(T, dtype):
    a, b, h_0, dh = problem(2, T, 3, "near one", dtype=dtype)
    leaves = [x.requires_grad_() for x in (a, b, h_0)]
    h = scan(*leaves)
    grads = torch.autograd.grad(h, leaves, dh)
    exact = [x.detach().double() for x in (a, b, h_0, dh)]
    assert h.dtype == dtype
    eps = torch.finfo(dtype).eps
    assert_close(h.detach(), by_steps(*exact[:3]), eps)
    for found, expected in zip(grads, gradients_by_steps(*exact)):
        assert found.dtype == dtype
        assert_close(found, expected, 2 * eps)


def test_a_sum_of_many_ones_does_not_stall_in_bfloat16():
    ones = torch.ones(1, 2048, 1, dtype=torch.bfloat16)
    assert scan(ones, ones)[0, -1, 0] == 2048  # step by step in bfloat16 it stays at 256


@pytest.mark.parametrize("dtype", REAL)
def test_takes_views_and_leaves_its_inputs_alone(dtype):
    a, b, h_0, dh = problem(2, 200, 3, dtype=dtype)
    both = torch.cat([a, b], dim=2).requires_grad_()
    before = both.detach().clone()
    h = scan(*both.chunk(2, dim=2), h_0)
    torch.testing.assert_close(h, by_steps(a, b, h_0))
    (found,) = torch.autograd.grad(h.sum(), both)  # the gradient of a sum is expanded, stride 0
    da, db, _ = gradients_by_steps(a, b, h_0, torch.ones_like(dh))
    torch.testing.assert_close(found, torch.cat([da, db], dim=2), rtol=1e-4, atol=1e-4)
    assert torch.equal(both, before)


def test_factors_that_do_not_change_with_time_are_expanded():
    a, b, h_0, _ = problem(2, 200, 3)
    a = a[0, 0].clone().requires_grad_()
    (found,) = torch.autograd.grad(scan(a.expand(2, 200, 3), b, h_0).sum(), a)
    (expected,) = torch.autograd.grad(by_steps(a.expand(2, 200, 3), b, h_0).sum(), a)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("needed", [0, 1, 2])
def test_gives_the_gradient_that_is_asked_for(needed):
    inputs = problem(2, 100, 3)[:3]
    inputs[needed].requires_grad_()
    scan(*inputs).sum().backward()
    assert [x.grad is not None for x in inputs] == [i == needed for i in range(3)]


def test_windows_with_the_state_carried_equal_the_whole():
    a, b, h_0, _ = problem(2, 500, 3)
    whole, parts = scan(a, b, h_0), []
    for a_part, b_part in zip(a.split(137, 1), b.split(137, 1)):
        parts.append(scan(a_part, b_part, h_0))
        h_0 = parts[-1][:, -1]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-12)


def test_a_second_derivative_is_refused():
    a, b, h_0, _ = problem(1, 10, 2)
    (first,) = torch.autograd.grad(
        scan(a.requires_grad_(), b, h_0).pow(2).sum(), a, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def one(*shape, dtype=torch.float32, device="cpu"):
    return torch.ones(shape, dtype=dtype, device=device)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((one(3, 4), one(3, 4)), ValueError, r"\(B, T, H\), got \(3, 4\)"),
        ((one(1, 0, 4), one(1, 0, 4)), ValueError, "at least one step"),
        ((one(2, 3, 4), one(2, 4, 3)), ValueError, r"b of shape .* \(2, 3, 4\) like a"),
        ((one(2, 3, 4), one(2, 1, 4)), ValueError, "use expand"),
        ((one(2, 3, 4), one(2, 3, 4), one(1, 2, 4)), ValueError, r"take one layer, h_0\[0\]"),
        ((one(2, 3, 4), one(2, 3, 4), one(4)), ValueError, r"h_0 of shape \(B, H\) = \(2, 4\)"),
        ((one(2, 3, 4), one(2, 3, 4, dtype=torch.float64)), TypeError, "float32 like a, got"),
        ((one(2, 3, 4), one(2, 3, 4), one(2, 4, dtype=torch.bfloat16)), TypeError, "autocast"),
        ((one(2, 3, 4, dtype=torch.int64), one(2, 3, 4)), TypeError, "a of a floating dtype"),
        (([[[1.0]]], one(1, 1, 1)), TypeError, "a as a torch.Tensor, got a list"),
        (
            (one(2, 3, 4), one(2, 3, 4, device="meta")),
            ValueError,
            "b on cpu like a, got it on meta",
        ),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        scan(*arguments)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("T", [5, 1000])
def test_on_the_gpu(T):
    a, b, h_0, dh = problem(2, T, 3)
    leaves = [x.cuda().requires_grad_() for x in (a, b, h_0)]
    h = scan(*leaves)
    torch.testing.assert_close(h.cpu(), by_steps(a, b, h_0))
    found = torch.autograd.grad(h, leaves, dh.cuda())
    for x, y in zip(found, gradients_by_steps(a, b, h_0, dh)):
        torch.testing.assert_close(x.cpu(), y)
