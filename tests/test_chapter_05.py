"""Chapter 05: its readable cells against the kernels of rnnlib.scratch and against torch."""

import numpy as np
import pytest
import torch
from chapter_cells import functions
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import rnn as packing

from rnnlib.scratch import elman, gru, lstm
from rnnlib.scratch.gradcheck import check_gradients, relative_error

FLOOR = 1e-4
CELLS = functions(
    "05_lstm_and_gru",
    *("sigmoid", "hold", "stack", "unstack", "random_sizes", "random_case"),
    *("lstm_step", "lstm_forward", "lstm_backward_step", "lstm_backward", "readable_lstm"),
    *("gru_forward", "gru_step_back", "gru_backward", "readable_gru"),
    *("torch_lstm", "compare_lstm", "compare_gru", "check_gru"),
    *("variant_init", "variant_forward", "variant_backward", "check_variant"),
    *("add_step", "late_sums", "fused_forward", "fused_backward"),
    *("inplace_forward", "inplace_backward", "readable", "fused", "checkpointed", "at_once"),
    np=np,
    torch=torch,
    packing=packing,
    elman=elman,
    lstm=lstm,
    gru=gru,
    check_gradients=check_gradients,
    relative_error=relative_error,
    FLOOR=FLOOR,
)
seeds = st.integers(0, 2**32 - 1)


def call(name, *arguments, **options):
    return CELLS[name](*arguments, **options)


def case(seed, kind):
    """A readable net, and x, h_0, w, lengths."""
    rng = np.random.default_rng(seed)
    *sizes, lengths = call("random_sizes", rng)
    net = call(kind, *sizes[2:], rng)
    x, h_0, _, w, *_ = call("random_case", rng, *sizes, lengths)
    return net, x, h_0, w, lengths, rng


def largest(ours, theirs):
    return max(relative_error(ours[name], theirs[name], FLOOR) for name in theirs)


def assert_equal_states(ours, theirs):
    """To 1e-12; where an entry is near 0, to the rounding of the sums of order 1 it comes from."""
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def assert_equal_gradients(ours, theirs):
    """To 1e-11; where an entry is near 0, to the rounding of the sums that it comes from."""
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_the_readable_lstm_is_the_kernel(seed):
    net, x, h_0, w, lengths, rng = case(seed, "readable_lstm")
    c_0, dc_T = rng.standard_normal((2, *h_0.shape))
    stacked = call("stack", net)
    h, c, gates = call("lstm_forward", net, x, h_0, c_0, lengths)
    fast = lstm.forward(stacked, x, h_0, c_0, lengths)
    assert_equal_states(h, fast[0])
    assert_equal_states(c, fast[1])
    ours, *ends = call("lstm_backward", net, x, h, c, gates, w, dc_T, lengths)
    theirs, *fast_ends = lstm.backward(stacked, x, *fast, w, dc_T, lengths)
    for name, gradient in call("unstack", theirs).items():
        assert_equal_gradients(ours[name], gradient)
    for a, b in zip(ends, fast_ends, strict=True):
        assert_equal_gradients(a, b)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_the_readable_gru_is_the_kernel(seed):
    net, x, h_0, w, lengths, _ = case(seed, "readable_gru")
    stacked = call("stack", net | {"b_n": net["b_xn"]}, "rzn") | {"b_n": net["b_n"]}
    h, gates = call("gru_forward", net, x, h_0, "after", lengths)
    fast = gru.forward(stacked, x, h_0, lengths)
    assert_equal_states(h, fast[0])
    ours, *ends = call("gru_backward", net, x, h, gates, w, "after", lengths)
    theirs, *fast_ends = gru.backward(stacked, x, *fast, w, lengths)
    assert_equal_gradients(ours["b_n"], theirs.pop("b_n"))
    parts = call("unstack", theirs, "rzn")
    parts["b_xn"] = parts.pop("b_n")
    for name, gradient in parts.items():
        assert_equal_gradients(ours[name], gradient)
    for a, b in zip(ends, fast_ends, strict=True):
        assert_equal_gradients(a, b)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_both_agree_with_torch(seed):
    assert call("compare_lstm", np.random.default_rng(seed)) < 1e-10
    assert call("compare_gru", np.random.default_rng(seed)) < 1e-10


@settings(max_examples=5, deadline=None)
@given(seeds)
def test_both_reset_conventions_pass_central_differences(seed):
    for reset in ("before", "after"):
        assert call("check_gru", np.random.default_rng(seed), reset) < 1e-7


@pytest.mark.parametrize("peephole", [False, True])
@pytest.mark.parametrize("coupled", [False, True])
def test_variants_pass_central_differences(peephole, coupled):
    rng = np.random.default_rng(11)
    assert call("check_variant", rng, peephole=peephole, coupled=coupled) < 1e-7


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_every_rung_gives_the_kernels_gradients(seed):
    net, x, h_0, _, _, rng = case(seed, "readable_lstm")
    dh = rng.standard_normal((len(x), *h_0.shape))
    stacked = call("stack", net)
    wanted, dx, *_ = lstm.backward(stacked, x, *lstm.forward(stacked, x, h_0, h_0), dh)
    tape = call("inplace_forward", stacked, x, h_0, h_0)
    for g, dx_rung in (
        call("readable", net, x, h_0, dh),
        call("fused", stacked, x, h_0, dh),
        call("fused", stacked, x, h_0, dh, hoist=True, late=True),
        call("inplace_backward", stacked, x, *tape, dh),
    ):
        assert largest(g, wanted) < 1e-10
        assert relative_error(dx_rung, dx, FLOOR) < 1e-10


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(1, 40))
def test_checkpoints_change_no_gradient(seed, every):
    rng = np.random.default_rng(seed)
    net, x = lstm.init(5, 4, rng), rng.integers(0, 5, (30, 2))
    dh_T = rng.standard_normal((2, 4))
    wanted = call("at_once", net, x, dh_T)
    assert largest(call("checkpointed", net, x, dh_T, every), wanted) < 1e-10
