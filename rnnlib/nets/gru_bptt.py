r"""A GRU layer whose backpropagation through time is written by hand.

.. math::

    r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
    z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
    m_t &= W_{hn} h_{t-1} + b_{hn} \\
    n_t &= \tanh(W_{in} x_t + b_{in} + r_t \odot m_t) \\
    h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

The same kernel in NumPy is :mod:`rnnlib.scratch.gru`. Autograd would record each of some ten
operations of every step and later visit them one by one, adding a (3H, H) matrix to the
gradient of the recurrent weights at each. By hand, what does not wait for the state is taken
out of the loop: the projection of the inputs before it, the local derivatives before the
backward loop, and the gradients of all weights after it, one matrix product for each.
"""

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from rnnlib.nets import inputs

_SPAN = 2**17  # numbers of a gate that the backward pass prepares at a time


class GRU(nn.GRU):
    """One layer, one direction, batch first: ``nn.GRU(I, H, batch_first=True)``.

    It has the parameters of ``nn.GRU``, under the same names and with the same
    initialisation, and gives the same numbers; only the way there differs. Gradients can be
    taken once: there is no gradient of the gradient.

    Parameters
    ----------
    input_size, hidden_size : int
        Width I of the input and H of the state.

    Notes
    -----
    Between forward and backward four gates and the state of each step are kept, 5 T B H
    numbers. Backward prepares its local derivatives for a short span of steps at a time,
    which stays in the cache, and takes T B H more, besides the gradients themselves.
    """

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, batch_first=True)

    def forward(self, input, hx=None):
        """Run the layer over a batch of sequences.

        Parameters
        ----------
        input : torch.Tensor
            (B, T, I), at least one step.
        hx : torch.Tensor, optional
            The initial state (1, B, H); zero if it is not given.

        Returns
        -------
        output : torch.Tensor
            The states of every step, (B, T, H).
        h_n : torch.Tensor
            The last of them, (1, B, H).

        Raises
        ------
        ValueError, TypeError
            If a shape or a dtype does not fit.
        """
        if isinstance(input, nn.utils.rnn.PackedSequence):
            raise TypeError("expected a tensor, got a PackedSequence: use nn.GRU for those")
        inputs.check_batch(input, self.input_size)
        inputs.check_state(hx, self, input.shape[0])
        weights = (self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)
        kind = input.device.type
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
            input, *weights = (x.to(dtype) for x in (input, *weights))
            hx = None if hx is None else hx.to(dtype)
        if hx is None:
            hx = input.new_zeros(1, input.shape[0], self.hidden_size)
        for name, x in (("input", input), ("hx", hx)):
            if x.dtype != weights[0].dtype:
                raise TypeError(f"expected {name} of dtype {weights[0].dtype}, got {x.dtype}")
        with torch.autocast(kind, enabled=False):
            h = _BPTT.apply(input.transpose(0, 1), hx[0], *weights)  # (T, B, H)
        return h.transpose(0, 1), h[-1:]


class _BPTT(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, h_0, W_ih, W_hh, b_ih, b_hh):
        T, B, I = x.shape
        H = W_hh.shape[1]
        x = x.reshape(T * B, I)
        bias = b_ih[: 2 * H] + b_hh[: 2 * H]
        rz = torch.addmm(bias, x, W_ih[: 2 * H].T).view(T, B, 2 * H)
        n = torch.addmm(b_ih[2 * H :], x, W_ih[2 * H :].T).view(T, B, H)
        m = torch.empty_like(n)
        h = x.new_empty(T + 1, B, H)
        h[0] = h_0
        W_rz, W_n = W_hh[: 2 * H].T, W_hh[2 * H :].T
        b_n = b_hh[2 * H :]
        steps = (rz, rz[:, :, :H], rz[:, :, H:], n, m, h[:-1], h[1:])
        for rz_t, r, z, n_t, m_t, h_before, h_t in zip(*(s.unbind(0) for s in steps)):
            rz_t.addmm_(h_before, W_rz).sigmoid_()
            torch.addmm(b_n, h_before, W_n, out=m_t)
            n_t.addcmul_(r, m_t).tanh_()
            torch.lerp(n_t, h_before, z, out=h_t)  # n + z (h - n)
        ctx.save_for_backward(x, h, rz, n, m, W_ih, W_hh)
        return h[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx, dh):
        r"""Return the gradients; dh_t is what reaches h_t from outside, then all of it.

        .. math::

            \delta^n_t &= \mathrm{d}h_t \odot (1 - z_t) (1 - n_t^2), &\quad
            \delta^r_t &= \delta^n_t \odot m_t \odot r_t (1 - r_t) \\
            \delta^z_t &= \mathrm{d}h_t \odot (h_{t-1} - n_t) \odot z_t (1 - z_t), &\quad
            \delta^m_t &= \delta^n_t \odot r_t
        """
        x, h, rz, n, m, W_ih, W_hh = ctx.saved_tensors
        T, B, H = n.shape
        dx = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        dW_ih, dW_hh, db = torch.zeros_like(W_ih), torch.zeros_like(W_hh), W_hh.new_zeros(4 * H)
        W_nrz = W_ih.roll(H, 0)  # deltas lie as n, r, z, m: x feeds the first three
        dh = torch.cat([n.new_zeros(1, B, H), dh])  # also for h_0
        S = max(1, _SPAN // (B * H))
        for start in reversed(range(0, T, S)):
            span, after = slice(start, start + S), slice(start + 1, start + S + 1)
            delta = _local_derivatives(h[:-1][span], rz[span], n[span], m[span])  # (S, B, 4, H)
            flat = delta.view(-1, B, 4 * H)
            steps = (delta, flat[:, :, H:], rz[span, :, H:], dh[:-1][span], dh[after])
            for d, d_rzm, z, dh_before, dh_t in reversed(list(zip(*(s.unbind(0) for s in steps)))):
                d *= dh_t[:, None]
                dh_before.addcmul_(z, dh_t).addmm_(d_rzm, W_hh)
            rows = slice(start * B, (start + S) * B)
            flat = flat.view(-1, 4 * H)
            d_nrz, d_rzm = flat[:, : 3 * H], flat[:, H:]
            dW_ih.addmm_(d_nrz.T, x[rows])
            dW_hh.addmm_(d_rzm.T, h[:-1].view(T * B, H)[rows])
            db += flat.sum(0)
            if dx is not None:
                torch.mm(d_nrz, W_nrz, out=dx[rows])
        dx = None if dx is None else dx.view(T, B, -1)
        return dx, dh[0], dW_ih.roll(-H, 0), dW_hh, db[: 3 * H].roll(-H), db[H:]


def _local_derivatives(h_before, rz, n, m):
    """Return what multiplies dh_t in the four deltas, in the order n, r, z, m."""
    T, B, H = n.shape
    r, z = rz.split(H, dim=2)
    delta = n.new_empty(T, B, 4, H)
    d_n, d_r, d_z, d_m = delta.unbind(2)
    torch.mul((1 - n * n), (1 - z), out=d_n)
    torch.mul(d_n, r, out=d_m)
    torch.mul(d_m * (1 - r), m, out=d_r)
    torch.mul(z * (1 - z), h_before - n, out=d_z)
    return delta
