"""The GRU with hand-written BPTT is nn.GRU: parameters, numbers, gradients, errors."""

import pytest
import torch
from torch import nn

from rnnlib.nets import gru_bptt, init
from rnnlib.nets.gru_bptt import GRU
from rnnlib.scratch import gru as scratch

BOUND = {torch.float32: 1e-6, torch.float64: 1e-10}


def pair(I, H, dtype=torch.float64):
    torch.manual_seed(0)
    theirs = nn.GRU(I, H, batch_first=True).to(dtype)
    ours = GRU(I, H).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def everything(net, x, h_0, dh, dh_n):
    """Output, last state, and the gradients of input, initial state and parameters."""
    states = [x.requires_grad_(), *([] if h_0 is None else [h_0.requires_grad_()])]
    output, h_n = net(x, h_0)
    loss = (output * dh).sum() + (h_n * dh_n).sum()
    return [output, h_n, *torch.autograd.grad(loss, [*states, *net.parameters()])]


def assert_same(found, expected, bound):
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        scale = max(1, other.abs().max().item())
        assert (one - other).abs().max().item() <= bound * scale


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("with_h_0", [False, True])
@pytest.mark.parametrize(
    ("B", "T", "I", "H"), [(1, 1, 1, 1), (3, 7, 5, 4), (1, 60, 3, 8), (32, 40, 16, 32)]
)
def test_equals_nn_gru(B, T, I, H, with_h_0, dtype):
    theirs, ours = pair(I, H, dtype)
    x, dh = torch.randn(B, T, I, dtype=dtype), torch.randn(B, T, H, dtype=dtype)
    dh_n, h_0 = torch.randn(2, 1, B, H, dtype=dtype)
    arguments = (x, h_0 if with_h_0 else None, dh, dh_n)
    found, expected = everything(ours, *arguments), everything(theirs, *arguments)
    assert_same(found, expected, BOUND[dtype])


@pytest.mark.parametrize("span", [1, 3 * 4 * 2, 3 * 4 * 7])
def test_the_spans_of_the_backward_pass_change_nothing(span, monkeypatch):
    monkeypatch.setattr(gru_bptt, "_SPAN", span)  # of 1, 2 and 7 steps out of 11
    theirs, ours = pair(5, 4)
    x, dh = torch.randn(3, 11, 5).double(), torch.randn(3, 11, 4).double()
    dh_n, h_0 = torch.randn(2, 1, 3, 4).double()
    assert_same(everything(ours, x, h_0, dh, dh_n), everything(theirs, x, h_0, dh, dh_n), 1e-10)


def test_gradcheck():
    _, ours = pair(2, 3)
    x = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    h_0 = torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in ours.named_parameters()]

    def run(x, h_0, *weights):
        return torch.func.functional_call(ours, dict(zip(names, weights)), (x, h_0))

    assert torch.autograd.gradcheck(run, (x, h_0, *ours.parameters()))


def test_equals_the_numpy_kernel():
    _, ours = pair(3, 4)
    x, dh = torch.randn(2, 6, 3).double(), torch.randn(2, 6, 4).double()
    W_ih, W_hh, b_ih, b_hh = (p.detach().numpy() for p in ours.parameters())
    b_h, b_n = b_ih.copy(), b_hh[8:]
    b_h[:8] += b_hh[:8]
    params = {"W_xh": W_ih, "W_hh": W_hh, "b_h": b_h, "b_n": b_n}
    x_np, dh_np = (v.transpose(0, 1).contiguous().numpy() for v in (x, dh))
    h, gates = scratch.forward(params, x_np)
    grads, dx, _ = scratch.backward(params, x_np, h, gates, dh_np)
    output, _, *found = everything(ours, x, None, dh, torch.zeros(1, 2, 4))
    assert_same([output.transpose(0, 1)], [torch.from_numpy(h[1:])], 1e-12)
    expected = [dx.swapaxes(0, 1), grads["W_xh"], grads["W_hh"], grads["b_h"]]
    assert_same(found[:4], [torch.from_numpy(v) for v in expected], 1e-12)


def test_windows_with_the_state_carried_equal_the_whole():
    _, ours = pair(3, 4)
    x = torch.randn(2, 20, 3, dtype=torch.float64, requires_grad=True)
    first, state = ours(x[:, :9])
    second, _ = ours(x[:, 9:], state)
    parts, whole = torch.cat([first, second], dim=1), ours(x)[0]
    assert_same([parts], [whole], 1e-12)
    wanted = [x, *ours.parameters()]
    found = torch.autograd.grad(parts.pow(2).sum(), wanted)
    assert_same(found, torch.autograd.grad(whole.pow(2).sum(), wanted), 1e-12)


def test_has_the_parameters_and_the_start_of_nn_gru():
    torch.manual_seed(0)
    theirs = nn.GRU(3, 4, batch_first=True)
    torch.manual_seed(0)
    ours = GRU(3, 4)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters()))
    gate = init.recurrent_(ours).weight_hh_l0[:4]
    torch.testing.assert_close(gate @ gate.T, torch.eye(4))


def test_gradients_can_be_taken_again_and_only_where_wanted():
    _, ours = pair(3, 4)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    loss = ours(x)[0].pow(2).sum()
    first = torch.autograd.grad(loss, list(ours.parameters()), retain_graph=True)
    assert_same(torch.autograd.grad(loss, list(ours.parameters())), first, 0)
    assert not x.requires_grad
    for p in ours.parameters():
        p.requires_grad_(False)
    ours(x.requires_grad_())[0].sum().backward()
    assert x.grad is not None
    assert all(p.grad is None for p in ours.parameters())


def test_a_second_derivative_is_refused():
    _, ours = pair(3, 4)
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(ours(x)[0].pow(2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_autocast_computes_in_bfloat16():
    theirs, ours = pair(3, 4, torch.float32)
    x = torch.randn(2, 30, 3)
    with torch.autocast("cpu", torch.bfloat16):
        output, state = ours(x)
        output, _ = ours(x, state)
    assert output.dtype == torch.bfloat16
    expected = theirs(x, theirs(x)[1])[0]
    assert (output.float() - expected).abs().max() < 0.03
    output.float().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in ours.parameters())


def test_bad_input_is_named():
    _, ours = pair(3, 4, torch.float32)
    x = torch.randn(2, 5, 3)
    with pytest.raises(ValueError, match=r"\(B, T, I=3\), got \(2, 5, 4\)"):
        ours(torch.randn(2, 5, 4))
    with pytest.raises(ValueError, match=r"use x\[None\]"):
        ours(x[0])
    with pytest.raises(ValueError, match="one step"):
        ours(x[:, :0])
    with pytest.raises(ValueError, match=r"= \(1, 2, 4\), got \(1, 5, 4\)"):
        ours(x, torch.zeros(1, 5, 4))
    with pytest.raises(TypeError, match="expected input of dtype torch.float32, got torch.float64"):
        ours(x.double())
    with pytest.raises(TypeError, match="hx of dtype torch.float32, got torch.float64"):
        ours(x, torch.zeros(1, 2, 4).double())
    packed = nn.utils.rnn.pack_padded_sequence(x, [5, 3], batch_first=True)
    with pytest.raises(TypeError, match=r"use nn\.GRU"):
        ours(packed)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_the_gpu():
    theirs, ours = (net.cuda() for net in pair(3, 4))
    x, dh = torch.randn(2, 9, 3).double().cuda(), torch.randn(2, 9, 4).double().cuda()
    dh_n, h_0 = torch.randn(2, 1, 2, 4).double().cuda()
    assert_same(everything(ours, x, h_0, dh, dh_n), everything(theirs, x, h_0, dh, dh_n), 1e-10)
