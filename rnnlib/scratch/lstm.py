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
    x, lengths
        As for :func:`rnnlib.scratch.elman.forward`.
    h_0, c_0 : numpy.ndarray, optional
        Output and cell state before the first step, (B, H) each; zero if absent.

    Returns
    -------
    h, c : numpy.ndarray
        Outputs and cell states, (T + 1, B, H) each: entry 0 is the initial one.
    gates : numpy.ndarray
        (4, T, B, H): the gates in the order i, f, g, o, for :func:`backward`.

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
    gates = blocks.empty(4, T, B, H, dtype, blocks.by_step(params["W_xh"], 4, B))
    # sigmoid(a) = tanh(a / 2) / 2 + 1 / 2: with halved weights, one tanh serves all gates.
    scale, shift = np.full((2, 4, B, H), 0.5, dtype)
    scale[2], shift[2] = 1, 0
    rows = scale[:, 0].reshape(4 * H, 1)
    project = blocks.projection(params["W_xh"] * rows, params["b_h"].reshape(4, 1, H) * scale, x)
    expand = blocks.expansion(params["W_hh"] * rows, 4, B)
    inner = np.empty((B, H), dtype)
    for span in blocks.spans(T, B, h.nbytes, 0.12):
        a = gates[:, span]
        project(x[span], a)
        steps = zip(a.swapaxes(0, 1), *a, h[span], h[1:][span], c[span], c[1:][span])
        for t, (a_t, i, f, g, o, h_before, h_t, c_before, c_t) in enumerate(steps, span.start):
            a_t += expand(h_before)  # (4, B, H)
            np.tanh(a_t, out=a_t)
            a_t *= scale
            a_t += shift
            np.multiply(f, c_before, out=c_t)
            c_t += np.multiply(i, g, out=inner)
            np.multiply(o, np.tanh(c_t, out=inner), out=h_t)
            if held is not None:
                np.copyto(h_t, h_before, where=held[t])
                np.copyto(c_t, c_before, where=held[t])
    inputs.check_state(h, params)
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
    x, held = inputs.check(params, x, 4, lengths, again=True)
    inputs.check_tape(x, params, dh, h=h, c=c, gates=gates)
    T, B, H = dh.shape
    W_xh, W_hh = params["W_xh"], params["W_hh"]
    dW_xh, dW_hh, db = np.empty_like(W_xh), np.empty_like(W_hh), np.zeros((4, H), W_hh.dtype)
    dx = None if x.ndim == 2 else np.empty_like(x)
    dh_t, dc_t, through, kept_h, kept_c = np.zeros((5, B, H), W_hh.dtype)
    contract = blocks.contraction(W_hh, 4, dh_t)
    if dc_T is not None:
        inputs.check_array("dc_T", dc_T, (B, H), "(B, H)", W_hh.dtype)
        dc_t[:] = dc_T
    spans = blocks.spans(T, B, h.nbytes, 0.12)
    buffer = blocks.empty(4, spans[0].stop, B, H, W_hh.dtype, B == 1)
    for span in reversed(spans):
        delta = buffer[:, : span.stop - span.start]
        dc_by_dh = _local_derivatives(h[1:][span], c[span], c[1:][span], gates[:, span], delta)
        steps = zip(
            range(span.start, span.stop),
            dh[span],
            dc_by_dh,
            gates[1, span],
            delta.swapaxes(0, 1),
            delta[:3].swapaxes(0, 1),
            delta[3],
        )
        for t, dh_now, dc_by_dh_t, f, d, d_ifg, d_o in reversed(list(steps)):
            dh_t += dh_now
            if held is not None:
                kept_h[:], kept_c[:] = dh_t, dc_t
                np.copyto(dh_t, 0, where=held[t])
                np.copyto(dc_t, 0, where=held[t])
            dc_t += np.multiply(dh_t, dc_by_dh_t, out=through)
            d_o *= dh_t
            d_ifg *= dc_t
            dc_t *= f
            contract(d)
            if held is not None:
                np.copyto(dh_t, kept_h, where=held[t])
                np.copyto(dc_t, kept_c, where=held[t])
        blocks.accumulate(dW_xh, delta, x[span], span is spans[-1])
        blocks.accumulate(dW_hh, delta, h[span], span is spans[-1])
        blocks.add_bias_gradient(db, delta)
        if dx is not None:
            blocks.input_gradient(delta, W_xh, dx[span])
    return {"W_xh": dW_xh, "W_hh": dW_hh, "b_h": db.reshape(4 * H)}, dx, dh_t, dc_t


def _local_derivatives(h, c_before, c, gates, delta):
    """Write the local derivatives of a block into delta; return that of c for h."""
    i, _, g, o = gates
    d_i, d_f, d_g, d_o = delta
    inner = np.tanh(c)
    np.multiply(gates, gates, out=delta)
    np.subtract(gates[:2], delta[:2], out=delta[:2])  # s (1 - s)
    np.subtract(o, d_o, out=d_o)
    np.subtract(1, d_g, out=d_g)  # 1 - g^2
    d_i *= g
    d_f *= c_before
    d_g *= i
    d_o *= inner
    np.multiply(h, inner, out=inner)
    return np.subtract(o, inner, out=inner)  # o (1 - tanh^2 c), as h = o tanh c
