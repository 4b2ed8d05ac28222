"""QRNN, SRU and minGRU equal the equations of their papers, step by step and by windows."""

import pytest
import torch

from rnnlib.nets import state as states
from rnnlib.nets.parallel import QRNN, SRU, MinGRU

LAYERS = {
    "minGRU": lambda I, H: MinGRU(I, H),
    "QRNN": lambda I, H: QRNN(I, H),
    "QRNN, window 1": lambda I, H: QRNN(I, H, window=1),
    "QRNN, window 4": lambda I, H: QRNN(I, H, window=4),
    "SRU": lambda I, H: SRU(I, H),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def from_the_paper(net, x, state=None):
    """One step after another, one sequence after another, with each weight matrix by itself."""
    return torch.stack(
        [PAPER[type(net)](net, sequence, _one(state, b)) for b, sequence in enumerate(x.unbind(0))]
    )


def _one(state, b):
    if isinstance(state, tuple):
        return state[0][0, b], list(state[1][:, b])
    return None if state is None else state[0, b]


def mingru(net, x, h):
    W_z, W_h = net.project.weight.chunk(2)
    b_z, b_h = net.project.bias.chunk(2)
    h, output = torch.zeros(len(b_z), dtype=x.dtype) if h is None else h, []
    for x_t in x:
        z = torch.sigmoid(W_z @ x_t + b_z)
        h = (1 - z) * h + z * (W_h @ x_t + b_h)
        output.append(h)
    return torch.stack(output)


def qrnn(net, x, state):
    W_z, W_f, W_o = net.project.weight.chunk(3)
    b_z, b_f, b_o = net.project.bias.chunk(3)
    zero = torch.zeros(x.shape[1], dtype=x.dtype)
    c, seen = state or (torch.zeros(len(b_z), dtype=x.dtype), [zero] * (net.window - 1))
    output = []
    for x_t in x:
        seen = [*seen, x_t][-net.window :]
        z, f, o = (W @ torch.cat(seen) + b for W, b in ((W_z, b_z), (W_f, b_f), (W_o, b_o)))
        c = f.sigmoid() * c + (1 - f.sigmoid()) * z.tanh()
        output.append(o.sigmoid() * c)
    return torch.stack(output)


def sru(net, x, c):
    b_f, b_r = net.bias.chunk(2)
    W, W_f, W_r, *W_skip = net.project.weight.split(len(b_f))
    c, output = torch.zeros(len(b_f), dtype=x.dtype) if c is None else c, []
    for x_t in x:
        f = torch.sigmoid(W_f @ x_t + b_f)
        r = torch.sigmoid(W_r @ x_t + b_r)
        c = f * c + (1 - f) * (W @ x_t)
        output.append(r * c + (1 - r) * (W_skip[0] @ x_t if W_skip else x_t))
    return torch.stack(output)


PAPER = {MinGRU: mingru, QRNN: qrnn, SRU: sru}


def make(name, I=3, H=4, dtype=torch.float64):
    torch.manual_seed(0)
    net = LAYERS[name](I, H).to(dtype)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_()
    return net


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@every_layer
@pytest.mark.parametrize(("I", "T"), [(3, 1), (3, 2), (4, 100)])
def test_equals_the_equations_of_the_paper(name, I, T):
    net, x = make(name, I), torch.randn(2, T, I, dtype=torch.float64)
    output, state = net(x)
    close(output, from_the_paper(net, x))
    more = torch.randn(2, 5, I, dtype=torch.float64)
    close(net(more, state)[0], from_the_paper(net, more, state))


@every_layer
def test_gradients_equal_those_through_the_loop(name):
    net, x = make(name), torch.randn(2, 80, 3, dtype=torch.float64, requires_grad=True)
    wanted = [x, *net.parameters()]
    found = torch.autograd.grad(net(x)[0].pow(2).sum(), wanted)
    expected = torch.autograd.grad(from_the_paper(net, x).pow(2).sum(), wanted)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@every_layer
@pytest.mark.parametrize("size", [1, 2, 7])
def test_windows_with_the_state_carried_equal_the_whole(name, size):
    net, x = make(name), torch.randn(2, 30, 3, dtype=torch.float64)
    whole, last = net(x)
    parts, state = [], None
    for window in x.split(size, dim=1):
        output, state = net(window, state)
        parts.append(output)
    close(torch.cat(parts, dim=1), whole)
    for one, other in zip(_flat(state), _flat(last)):
        close(one, other)


@every_layer
def test_the_state_also_carries_the_gradient(name):
    net, x = make(name), torch.randn(2, 20, 3, dtype=torch.float64, requires_grad=True)
    output, state = net(x[:, :8])
    two = torch.autograd.grad(net(x[:, 8:], state)[0].sum() + output.sum(), x)
    one = torch.autograd.grad(net(x)[0].sum(), x)
    close(two, one)


@every_layer
def test_the_state_can_be_detached_and_reset_like_that_of_nn_gru(name):
    net, x = make(name), torch.randn(2, 9, 3, dtype=torch.float64)
    _, state = net(x)
    state = states.reset(states.detach(state), torch.tensor([False, True]))
    output = net(x, state)[0]
    close(output[1], net(x)[0][1])
    assert not torch.allclose(output[0], net(x)[0][0])


@every_layer
def test_nothing_comes_from_the_future(name):
    net, x = make(name), torch.randn(1, 12, 3, dtype=torch.float64)
    changed = x.clone()
    changed[:, 7:] += 1
    assert torch.equal(net(x)[0][:, :7], net(changed)[0][:, :7])


@every_layer
def test_has_the_shapes_of_nn_gru(name):
    x = torch.randn(5, 6, 3)
    output, state = make(name, dtype=torch.float32)(x)
    expected, last = torch.nn.GRU(3, 4, batch_first=True)(x)
    assert output.shape == expected.shape
    assert _flat(state)[0].shape == last.shape
    assert output.dtype == torch.float32


@every_layer
@pytest.mark.parametrize("I", [3, 4])
def test_autocast_carries_its_state(name, I):
    net, x = make(name, I, dtype=torch.float32), torch.randn(2, 100, I)
    exact = net(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        first, state = net(x[:, :60])
        second, _ = net(x[:, 60:], state)
    assert first.dtype == second.dtype == torch.bfloat16
    found = torch.cat([first, second], dim=1).float()
    assert (found - exact).abs().max() < 0.03 * exact.abs().max()
    first.float().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in net.parameters())


def test_sru_has_a_fourth_matrix_only_where_the_widths_differ():
    assert SRU(4, 4).project.weight.shape == (12, 4)
    assert SRU(3, 4).project.weight.shape == (16, 3)


@every_layer
def test_bad_input_is_named(name):
    net, x = LAYERS[name](3, 4), torch.randn(2, 5, 3)
    with pytest.raises(ValueError, match=r"\(B, T, I=3\), got \(2, 5, 4\)"):
        net(torch.randn(2, 5, 4))
    with pytest.raises(ValueError, match=r"use x\[None\]"):
        net(x[0])
    with pytest.raises(ValueError, match="one step"):
        net(x[:, :0])
    with pytest.raises(ValueError, match=r"state of shape \(1, B, H\) = \(1, 2, 4\)"):
        net(x, net(x[:1])[1])


def test_a_qrnn_wants_its_last_inputs_and_a_window():
    net, x = QRNN(3, 4, window=3), torch.randn(2, 5, 3)
    c, recent = net(x)[1]
    with pytest.raises(ValueError, match=r"\(window - 1, B, I\) = \(2, 2, 3\), got \(1, 2, 3\)"):
        net(x, (c, recent[:1]))
    with pytest.raises(ValueError, match="at least one input, got 0"):
        QRNN(3, 4, window=0)


def _flat(state):
    return state if isinstance(state, tuple) else (state,)
