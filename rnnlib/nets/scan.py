r"""The linear recurrence h_t = a_t * h_{t-1} + b_t over a whole sequence, in few operations.

A loop over T steps starts T small operations, one after the other. Here the sequence is cut
into blocks of 16 steps, which run side by side:

1. every block starts from zero, and finds its last state and the product of its a's: 16
   operations, each on all blocks at once;
2. last states and products are again such a recurrence, over blocks instead of steps, so
   :func:`scan` solves it in the same way: it gives the state with which each block starts;
3. every block runs once more, now from its true start: 16 operations.

That is about twice the arithmetic of the loop, O(T), but some 33 operations for each factor
of 16 in T instead of T operations. A sequence that is short, or a step so wide that starting
its operation costs nothing beside it, is left to the loop.

The idea is the prefix sum of parallel computing: G. E. Blelloch, Prefix sums and their
applications, 1990.
"""

import torch
from torch.autograd.function import once_differentiable

_BLOCK = 16  # steps; 8 to 32 were equally fast on a CPU
_SHORT = 64  # a sequence of fewer steps is left to the loop
_WIDE = {"cpu": 2048, "cuda": 2**20}  # so is one with as many numbers in a step; cuda: a guess
_HALF = (torch.bfloat16, torch.float16)
_REAL = (torch.float32, torch.float64, *_HALF)
_COMPLEX = (torch.complex64, torch.complex128)


def scan(a, b, h_0=None):
    r"""Solve a linear recurrence, element by element, for all its steps.

    .. math::

        h_t = a_t \odot h_{t-1} + b_t, \qquad t = 1, \dots, T

    It is differentiable, once, in all three arguments. With :math:`\mathrm{d}h_t` the
    gradient that reaches :math:`h_t` from outside, the backward pass is the same recurrence
    in the other direction:

    .. math::

        g_t &= \mathrm{d}h_t + a_{t+1} \odot g_{t+1}, \qquad g_T = \mathrm{d}h_T \\
        \partial L/\partial b_t &= g_t, \qquad
        \partial L/\partial a_t = g_t \odot h_{t-1}, \qquad
        \partial L/\partial h_0 = a_1 \odot g_1

    Parameters
    ----------
    a : torch.Tensor
        Factors (B, T, H) of a real or complex floating dtype. Use ``a.expand`` for factors
        that do not change with time.
    b : torch.Tensor
        Terms, of the shape, dtype and device of `a`.
    h_0 : torch.Tensor, optional
        The state before the first step, (B, H); zero if it is not given.

    Returns
    -------
    torch.Tensor
        The states :math:`h_1, \dots, h_T`, (B, T, H), of the dtype of `a`.

    Raises
    ------
    TypeError
        If a dtype does not fit.
    ValueError
        If a shape or a device does not fit.

    Notes
    -----
    Beyond the result, forward takes at most a quarter of the memory of `a`, and backward
    that much or the gradients' own, whichever is more. Until then `a` and the result are
    kept. float16 and bfloat16 are computed in float32, because a long sum would stop
    growing in them, and rounded once at the end: for the time of a call that takes up to
    six more tensors (B, T, H) of float32.

    The products of the a's over 16, 256, ... steps are computed, so factors that stay above
    1 in size for long overflow, where the states themselves may not.
    """
    _check(a, b, h_0)
    if h_0 is None:
        h_0 = a.new_zeros(a.shape[0], a.shape[2])
    return _Scan.apply(a, b, h_0)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, h_0):
        wide = _wide(a.dtype)
        h = torch.empty(a.shape, dtype=wide, device=a.device)
        _run(a.to(wide), b.to(wide), h_0, h)
        h = h.to(a.dtype)
        ctx.save_for_backward(a, h, h_0)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx, dh):
        dtype, wide = dh.dtype, _wide(dh.dtype)
        a, h, h_0 = (x.conj().resolve_conj() for x in ctx.saved_tensors)  # real: no copy
        a, dh = a.to(wide), dh.to(wide)
        g = torch.empty(a.shape, dtype=wide, device=a.device)
        g[:, -1] = dh[:, -1]
        _run(a[:, 1:], dh[:, :-1], g[:, -1], g[:, :-1], reverse=True)
        da = dh_0 = None
        if ctx.needs_input_grad[2]:
            dh_0 = (a[:, 0] * g[:, 0]).to(dtype)
        if ctx.needs_input_grad[0]:
            da = torch.empty_like(h)
            torch.mul(g[:, 0], h_0, out=da[:, 0])
            torch.mul(g[:, 1:], h[:, :-1], out=da[:, 1:])
        return da, g.to(dtype), dh_0


def _wide(dtype):
    """Return the dtype to compute in: float32 for half precision."""
    return torch.float32 if dtype in _HALF else dtype


def _run(a, b, h, out, reverse=False):
    """Write the states into out, from the first step to the last or in reverse."""
    B, T, H = a.shape
    enough = _WIDE.get(a.device.type, _WIDE["cuda"])
    if T < _SHORT or enough <= B * H:
        _loop(a, b, h, out, reverse)
        return
    C = T // _BLOCK
    whole = slice(T - C * _BLOCK, T) if reverse else slice(C * _BLOCK)
    rest = slice(T - C * _BLOCK) if reverse else slice(C * _BLOCK, T)
    blocks = [x[:, whole].unflatten(1, (C, _BLOCK)) for x in (a, b, out)]  # (B, C, 16, H)
    steps = _steps(*blocks, reverse=reverse)  # of (B, C, H)
    end = steps[0][1].clone()
    for a_t, b_t, _ in steps[1:]:
        torch.addcmul(b_t, a_t, end, out=end)
    # Between the blocks: state c enters block c, or, in reverse, leaves it.
    states = a.new_empty(B, C + 1, H)
    enter, leave = slice(C), slice(1, C + 1)
    if reverse:
        enter, leave = leave, enter
    states[:, C if reverse else 0] = h
    _run(blocks[0].prod(2), end, h, states[:, leave], reverse)
    h = states[:, enter]
    for a_t, b_t, h_t in steps:
        h = torch.addcmul(b_t, a_t, h, out=h_t)
    _loop(a[:, rest], b[:, rest], states[:, 0 if reverse else C], out[:, rest], reverse)


def _loop(a, b, h, out, reverse):
    for a_t, b_t, h_t in _steps(a, b, out, reverse=reverse):
        h = torch.addcmul(b_t, a_t, h, out=h_t)


def _steps(*tensors, reverse):
    """Return (a_t, b_t, ...) for every step: views along the last dimension but one."""
    steps = list(zip(*(x.unbind(-2) for x in tensors)))
    return steps[::-1] if reverse else steps


def _check(a, b, h_0):
    for name, x in (("a", a), ("b", b), ("h_0", h_0)):
        if x is None and name == "h_0":
            continue
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"expected {name} as a torch.Tensor, got a {type(x).__name__}")
        if x.dtype not in _REAL + _COMPLEX:
            raise TypeError(f"expected {name} of a floating dtype, got {x.dtype}")
        if x.dtype != a.dtype:
            hint = ": mixed by autocast?" if {x.dtype, a.dtype} <= set(_REAL) else ""
            raise TypeError(f"expected {name} of dtype {a.dtype} like a, got {x.dtype}{hint}")
        if x.device != a.device:
            raise ValueError(f"expected {name} on {a.device} like a, got it on {x.device}")
    if a.ndim != 3:
        raise ValueError(f"expected a of shape (B, T, H), got {tuple(a.shape)}")
    B, T, H = a.shape
    if T == 0:
        raise ValueError(f"expected at least one step, got a of shape {tuple(a.shape)}")
    if b.shape != a.shape:
        raise ValueError(
            f"expected b of shape (B, T, H) = {(B, T, H)} like a, got {tuple(b.shape)}: "
            "use expand for what is the same at every step"
        )
    if h_0 is not None and h_0.shape != (B, H):
        hint = ": a state of nn.GRU? take one layer, h_0[0]" if h_0.ndim == 3 else ""
        raise ValueError(f"expected h_0 of shape (B, H) = {(B, H)}, got {tuple(h_0.shape)}{hint}")
