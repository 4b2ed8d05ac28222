r"""A fast GRU in NumPy: forward through time, and the gradient back.

.. math::

    r_t &= \sigma(W_{xr} x_t + W_{hr} h_{t-1} + b_r) \\
    z_t &= \sigma(W_{xz} x_t + W_{hz} h_{t-1} + b_z) \\
    m_t &= W_{hn} h_{t-1} + b_n \\
    n_t &= \tanh(W_{xn} x_t + b_{xn} + r_t \odot m_t) \\
    h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

The reset gate acts after the matrix product, as in cuDNN and ``torch.nn.GRU``, whose order
of the gates, r, z, n, is also the order here. Source: [Cho et al., 2014], who reset the
state before the product.
"""

import numpy as np

from rnnlib.scratch import blocks, elman, inputs


def init(I, H, rng, dtype=np.float64, orthogonal=True):
    """Draw fresh parameters of a GRU layer.

    Parameters
    ----------
    I, H, rng, dtype, orthogonal
        As for :func:`rnnlib.scratch.elman.init`; each gate is drawn on its own.

    Returns
    -------
    dict of numpy.ndarray
        ``W_xh`` (3H, I), ``W_hh`` (3H, H) and ``b_h`` (3H,), gates in the order r, z, n,
        and ``b_n`` (H,), the bias inside the product with the reset gate.
    """
    params = elman.init_gates(3, I, H, rng, dtype, orthogonal)
    return params | {"b_n": np.zeros(H, dtype)}


def forward(params, x, h_0=None, lengths=None):
    """Run the layer over a batch of sequences.

    Parameters
    ----------
    params : dict
        As :func:`init` returns it.
    x, h_0, lengths
        As for :func:`rnnlib.scratch.elman.forward`.

    Returns
    -------
    h : numpy.ndarray
        The states (T + 1, B, H): entry 0 is the initial one.
    gates : numpy.ndarray
        (4, T, B, H): r, z, n and m, for :func:`backward`.

    Raises
    ------
    ValueError, TypeError
        As :func:`rnnlib.scratch.elman.forward`.
    """
    x, held = inputs.check(params, x, 3, lengths, h_0=h_0)
    dtype, H = params["W_hh"].dtype, params["W_hh"].shape[1]
    T, B = x.shape[:2]
    h = np.empty((T + 1, B, H), dtype)
    h[0] = 0 if h_0 is None else h_0
    gates = blocks.empty(4, T, B, H, dtype, blocks.by_step(params["W_xh"], 3, B))
    # sigmoid(a) = tanh(a / 2) / 2 + 1 / 2: with halved weights, tanh serves the gates too.
    half = np.full((3, B, H), 0.5, dtype)
    half[2] = 1
    rows = half[:, 0].reshape(3 * H, 1)
    project = blocks.projection(params["W_xh"] * rows, params["b_h"].reshape(3, 1, H) * half, x)
    expand = blocks.expansion(params["W_hh"] * rows, 3, B)
    product = expand(h[0])  # (3, B, H), where every later product will lie, too
    product_rz, product_n, half = product[:2], product[2], half[:2]
    b_n, rest = params["b_n"], np.empty((B, H), dtype)
    for span in blocks.spans(T, B, h.nbytes, 0.12):
        project(x[span], gates[:3, span])
        steps = zip(gates[:2, span].swapaxes(0, 1), *gates[:, span], h[span], h[1:][span])
        for t, (r_z, r, z, n, m, h_before, h_t) in enumerate(steps, span.start):
            expand(h_before)
            r_z += product_rz
            np.tanh(r_z, out=r_z)
            r_z *= half
            r_z += half
            np.add(product_n, b_n, out=m)
            n += np.multiply(r, m, out=rest)
            np.tanh(n, out=n)
            np.subtract(h_before, n, out=rest)
            rest *= z
            np.add(n, rest, out=h_t)  # n + z (h - n)
            if held is not None:
                np.copyto(h_t, h_before, where=held[t])
    inputs.check_state(h, params)
    return h, gates


def backward(params, x, h, gates, dh, lengths=None):
    r"""Backpropagate through time.

    With :math:`\mathrm{d}h_t` the total gradient, which is a factor of every one,

    .. math::

        \delta^n_t &= \mathrm{d}h_t \odot (1 - z_t) (1 - n_t^2), &\qquad
        \delta^r_t &= \delta^n_t \odot m_t \odot r_t (1 - r_t) \\
        \delta^z_t &= \mathrm{d}h_t \odot (h_{t-1} - n_t) \odot z_t (1 - z_t), &\qquad
        \delta^m_t &= \delta^n_t \odot r_t

    Parameters
    ----------
    params, x, lengths
        As given to :func:`forward`.
    h, gates
        What :func:`forward` returned; not changed.
    dh : numpy.ndarray
        Immediate gradient of the loss for each state, (T, B, H).

    Returns
    -------
    grads : dict
        Gradients of ``W_xh``, ``W_hh``, ``b_h`` and ``b_n``, in those shapes.
    dx : numpy.ndarray or None
        Gradient of the inputs, (T, B, I); None for token ids.
    dh_0 : numpy.ndarray
        Gradient of the initial state, (B, H).
    """
    x, held = inputs.check(params, x, 3, lengths, again=True)
    inputs.check_tape(x, params, dh, h=h, gates=gates)
    T, B, H = dh.shape
    W_xh, W_hh = params["W_xh"], params["W_hh"]
    dW_xh, dW_hh, db = np.empty_like(W_xh), np.empty_like(W_hh), np.zeros((4, H), W_hh.dtype)
    W_nrz = np.roll(W_xh, H, axis=0)  # deltas lie as n, r, z, m: x feeds the first three
    dx = None if x.ndim == 2 else np.empty_like(x)
    dh_t, through, kept = np.zeros((3, B, H), W_hh.dtype)
    contract = blocks.contraction(W_hh, 3, through)
    spans = blocks.spans(T, B, h.nbytes, 0.12)
    buffer = blocks.empty(4, spans[0].stop, B, H, W_hh.dtype, B == 1)
    for span in reversed(spans):
        delta = buffer[:, : span.stop - span.start]
        _local_derivatives(h[span], gates[:, span], delta)
        steps = zip(
            range(span.start, span.stop),
            dh[span],
            gates[1, span],
            delta.swapaxes(0, 1),
            delta[1:].swapaxes(0, 1),
        )
        for t, dh_now, z, d, d_rzm in reversed(list(steps)):
            dh_t += dh_now
            if held is not None:
                kept[:] = dh_t
                np.copyto(dh_t, 0, where=held[t])
            d *= dh_t
            dh_t *= z
            contract(d_rzm)
            dh_t += through
            if held is not None:
                np.copyto(dh_t, kept, where=held[t])
        blocks.accumulate(dW_xh, delta[:3], x[span], span is spans[-1])
        blocks.accumulate(dW_hh, delta[1:], h[span], span is spans[-1])
        blocks.add_bias_gradient(db, delta)
        if dx is not None:
            blocks.input_gradient(delta[:3], W_nrz, dx[span])
    db_h = np.roll(db[:3], -1, axis=0).reshape(3 * H)
    return {"W_xh": np.roll(dW_xh, -H, axis=0), "W_hh": dW_hh, "b_h": db_h, "b_n": db[3]}, dx, dh_t


def _local_derivatives(h_before, gates, delta):
    """Write what multiplies dh into delta, in the order n, r, z, m."""
    r, z, n, m = gates
    d_n, d_r, d_z, d_m = delta
    np.multiply(n, n, out=d_n)
    np.subtract(1, d_n, out=d_n)
    np.subtract(1, z, out=d_z)
    d_n *= d_z
    d_z *= z
    np.multiply(d_n, r, out=d_m)
    np.subtract(1, r, out=d_r)
    d_r *= d_m
    d_r *= m
    d_z *= h_before - n
