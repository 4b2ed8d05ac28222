r"""A fast LSTM in NumPy: forward through time, and the gradient back.

.. math::

    i_t &= \sigma(W_{xi} x_t + W_{hi} h_{t-1} + b_i) &\qquad
    f_t &= \sigma(W_{xf} x_t + W_{hf} h_{t-1} + b_f) \\
    g_t &= \tanh(W_{xg} x_t + W_{hg} h_{t-1} + b_g) &\qquad
    o_t &= \sigma(W_{xo} x_t + W_{ho} h_{t-1} + b_o) \\
    c_t &= f_t \odot c_{t-1} + i_t \odot g_t &\qquad
    h_t &= o_t \odot \tanh(c_t)

The weights of the gates are stacked in the order i, f, g, o, as ``torch.nn.LSTM`` has them.
Source: [Hochreiter and Schmidhuber, 1997] for the cell, [Gers et al., 2000] for the forget
gate.
"""

import numpy as np

from rnnlib.scratch import blocks, elman, inputs

_INSIDE = [3, 0, 1, 2]  # stored gates lie as o, i, f, g: the sigmoids side by side


def init(I, H, rng, dtype=np.float64, orthogonal=True, forget_bias=1.0):
    """Draw fresh parameters of an LSTM layer.

    Parameters
    ----------
    I, H, rng, dtype, orthogonal
        As for :func:`rnnlib.scratch.elman.init`; each gate is drawn on its own.
    forget_bias : float
        Initial bias of the forget gate [Gers et al., 2000; Jozefowicz et al., 2015].

    Returns
    -------
    dict of numpy.ndarray
        ``W_xh`` (4H, I), ``W_hh`` (4H, H) and ``b_h`` (4H,), gates in the order i, f, g, o.
    """
    params = elman.init_gates(4, I, H, rng, dtype, orthogonal)
    params["b_h"][H : 2 * H] = forget_bias
    return params


def forward(params, x, h_0=None, c_0=None, lengths=None):
    """Run the layer over a batch of sequences.

    Parameters
    ----------
    params : dict
        As :func:`init` returns it.
    x : numpy.ndarray
        Inputs (T, B, I), of the dtype of the parameters; or token ids (T, B) of an
        integer dtype, which stand for one-hot vectors.
    h_0, c_0 : numpy.ndarray, optional
        Output and cell state before the first step, (B, H) each; zero if absent.
    lengths : array_like of int, optional
        Steps of each sequence, (B,), in any order, each in 1..T. Past its end a sequence
        keeps its state, so that entry T is every sequence's last.

    Returns
    -------
    h, c : numpy.ndarray
        Outputs and cell states, (T + 1, B, H) each: entry 0 is the initial one.
    gates : numpy.ndarray
        (4, T, B, H): the gates in the order o, i, f, g, for :func:`backward`.

    Raises
    ------
    ValueError, TypeError
        As :func:`rnnlib.scratch.elman.forward`.
    """
    x, held = inputs.check(params, x, 4, lengths, h_0=h_0, c_0=c_0)
    dtype, H = params["W_hh"].dtype, params["W_hh"].shape[1]
    T, B = x.shape[:2]
    h, c = np.empty((2, T + 1, B, H), dtype)
    h[0] = 0 if h_0 is None else h_0
    c[0] = 0 if c_0 is None else c_0
    gates = np.empty((4, T, B, H), dtype)
    # sigmoid(a) = (1 + tanh(a / 2)) / 2: with halved weights, one tanh serves all gates.
    half = np.array([0.5, 0.5, 0.5, 1], dtype)[:, None, None]
    W_xh, W_hh, b_h = (
        params[name].reshape(4, H, -1)[_INSIDE] * half for name in ("W_xh", "W_hh", "b_h")
    )
    recur = blocks.Thin(W_hh.swapaxes(1, 2), B)
    inner = np.empty((B, H), dtype)
    for span in blocks.spans(T, B, H, dtype.itemsize):
        blocks.project(x[span], W_xh.swapaxes(1, 2), b_h.swapaxes(1, 2), gates[:, span])
        for t in range(span.start, span.stop):
            a = gates[:, t]  # (4, B, H)
            a += recur(h[t])
            np.tanh(a, out=a)
            s = a[:3]
            s *= 0.5
            s += 0.5
            o, i, f, g = a
            c_t = np.multiply(f, c[t], out=c[t + 1])
            c_t += np.multiply(i, g, out=inner)
            np.multiply(o, np.tanh(c_t, out=inner), out=h[t + 1])
            if held is not None:
                blocks.hold(h, t, held[t])
                blocks.hold(c, t, held[t])
    inputs.check_state(h)
    return h, c, gates


def backward(params, x, h, c, gates, dh, dc_T=None, lengths=None):
    r"""Backpropagate through time.

    With :math:`\mathrm{d}h_t` and :math:`\mathrm{d}c_t` the total gradients,

    .. math::

        \mathrm{d}c_t &= f_{t+1} \odot \mathrm{d}c_{t+1}
            + \mathrm{d}h_t \odot o_t \odot (1 - \tanh^2 c_t) \\
        \delta^o_t &= \mathrm{d}h_t \odot \tanh(c_t) \odot o_t (1 - o_t), &\qquad
        \delta^i_t &= \mathrm{d}c_t \odot g_t \odot i_t (1 - i_t) \\
        \delta^f_t &= \mathrm{d}c_t \odot c_{t-1} \odot f_t (1 - f_t), &\qquad
        \delta^g_t &= \mathrm{d}c_t \odot i_t \odot (1 - g_t^2)

    Parameters
    ----------
    params, x, lengths
        As given to :func:`forward`.
    h, c, gates
        What :func:`forward` returned; not changed.
    dh : numpy.ndarray
        Immediate gradient of the loss for each output, (T, B, H).
    dc_T : numpy.ndarray, optional
        Gradient of the loss for the last cell state, (B, H); zero if absent.

    Returns
    -------
    grads : dict
        Gradients of ``W_xh``, ``W_hh`` and ``b_h``, in those shapes.
    dx : numpy.ndarray or None
        Gradient of the inputs, (T, B, I); None for token ids.
    dh_0, dc_0 : numpy.ndarray
        Gradients of the initial states, (B, H) each.
    """
    x, held = inputs.check(params, x, 4, lengths)
    inputs.check_tape(x, params, dh, h=h, c=c, gates=gates)
    T, B, H = dh.shape
    W_xh, W_hh = (params[name].reshape(4, H, -1)[_INSIDE] for name in ("W_xh", "W_hh"))
    dW_xh, dW_hh, db = np.zeros_like(W_xh), np.zeros_like(W_hh), np.zeros((4, H), W_hh.dtype)
    dx = None if x.ndim == 2 else np.empty_like(x)
    recur = blocks.Thin(W_hh, B)
    dh_t, dc_t, through, kept_h, kept_c = np.zeros((5, B, H), W_hh.dtype)
    if dc_T is not None:
        inputs.check_array("dc_T", dc_T, (B, H), "(B, H)", W_hh.dtype)
        dc_t[:] = dc_T
    spans = blocks.spans(T, B, H, W_hh.itemsize)
    buffer = np.empty((4, spans[0].stop, B, H), W_hh.dtype)
    for span in reversed(spans):
        delta = buffer[:, : span.stop - span.start]
        dc_by_dh = _local_derivatives(h[1:][span], c[span], c[1:][span], gates[:, span], delta)
        for t in reversed(range(span.start, span.stop)):
            d = delta[:, t - span.start]  # (4, B, H)
            dh_t += dh[t]
            if held is not None:
                kept_h[:], kept_c[:] = dh_t, dc_t
                np.copyto(dh_t, 0, where=held[t])
                np.copyto(dc_t, 0, where=held[t])
            dc_t += np.multiply(dh_t, dc_by_dh[t - span.start], out=through)
            d[0] *= dh_t
            d[1:] *= dc_t
            dc_t *= gates[2, t]
            np.add.reduce(recur(d), out=dh_t)
            if held is not None:
                np.copyto(dh_t, kept_h, where=held[t])
                np.copyto(dc_t, kept_c, where=held[t])
        blocks.accumulate(dW_xh, delta, x[span])
        blocks.accumulate(dW_hh, delta, h[span])
        db += delta.sum(axis=(1, 2))
        if dx is not None:
            blocks.input_gradient(delta, W_xh, dx[span])
    grads = {"W_xh": dW_xh, "W_hh": dW_hh, "b_h": db}
    outside = np.argsort(_INSIDE)
    grads = {name: g[outside].reshape(params[name].shape) for name, g in grads.items()}
    return grads, dx, dh_t, dc_t


def _local_derivatives(h, c_before, c, gates, delta):
    """Write the local derivatives of a block into delta; return that of c for h."""
    o, i, _, g = gates
    inner = np.tanh(c)
    np.multiply(gates[:3], gates[:3], out=delta[:3])
    np.subtract(gates[:3], delta[:3], out=delta[:3])  # s (1 - s)
    delta[0] *= inner
    delta[1] *= g
    delta[2] *= c_before
    np.multiply(i, g, out=delta[3])
    delta[3] *= g
    np.subtract(i, delta[3], out=delta[3])  # i (1 - g^2)
    np.multiply(h, inner, out=inner)
    return np.subtract(o, inner, out=inner)  # o (1 - tanh^2 c), as h = o tanh c
