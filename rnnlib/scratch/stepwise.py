r"""The three cells in plain NumPy, one step at a time: the readable form of the fast kernels.

Each function does at step t exactly what its equations say about step t, and nothing ahead
of time. The weights, states and gradients are those of :mod:`rnnlib.scratch.elman`,
:mod:`rnnlib.scratch.lstm` and :mod:`rnnlib.scratch.gru`; tests hold the two forms equal.
Nothing is checked here: shapes, dtypes and token ids are the fast kernels' care.

In all of them ``x`` is (T, B, I), ``h_0`` and ``c_0`` are (B, H) or None for zero, and
``lengths`` (B,) says how many steps each sequence has, or is None. Past its end a sequence
keeps its state, so the gradient passes through those steps unchanged. :math:`\sigma` is the
logistic function, and :math:`\mathrm{d}a` stands for :math:`\partial L/\partial a`.
"""

import numpy as np


def sigmoid(a):
    r"""Return the logistic function of `a`, which overflows nowhere in this form.

    .. math::

        \sigma(a) = 1 / (1 + e^{-a}) = (1 + \tanh(a / 2)) / 2
    """
    return 0.5 * (1 + np.tanh(0.5 * a))


def elman_forward(params, x, h_0=None, lengths=None):
    r"""Run a tanh net; return the states h (T + 1, B, H), of which the first is `h_0`.

    .. math::

        h_t = \tanh(W_{xh} x_t + W_{hh} h_{t-1} + b_h)
    """
    W_xh, W_hh, b_h = params["W_xh"], params["W_hh"], params["b_h"]
    h, alive = _states(x, W_hh, h_0), _alive(x, lengths)
    for t in range(len(x)):
        h[t + 1] = np.tanh(x[t] @ W_xh.T + h[t] @ W_hh.T + b_h)  # (B, H)
        if alive is not None:
            h[t + 1] = np.where(alive[t], h[t + 1], h[t])
    return h


def elman_backward(params, x, h, dh, lengths=None):
    r"""Backpropagate through :func:`elman_forward`; return grads, dx, dh_0.

    With :math:`a_t` what the tanh is applied to and :math:`\bar{h}_t` all of
    :math:`\partial L/\partial h_t`,

    .. math::

        \bar{h}_t = \mathrm{d}h_t + W_{hh}^\top \mathrm{d}a_{t+1}, \qquad
        \mathrm{d}a_t = \bar{h}_t \odot (1 - h_t^2).
    """
    W_xh, W_hh = params["W_xh"], params["W_hh"]
    grads = {name: np.zeros_like(w) for name, w in params.items()}
    dx, alive = np.empty_like(x), _alive(x, lengths)
    dh_next = np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        dh_t, dh_held = _split(dh[t] + dh_next, alive, t)
        da = dh_t * (1 - h[t + 1] ** 2)  # (B, H)
        grads["W_xh"] += da.T @ x[t]
        grads["W_hh"] += da.T @ h[t]
        grads["b_h"] += da.sum(0)
        dx[t] = da @ W_xh
        dh_next = da @ W_hh + dh_held
    return grads, dx, dh_next


def lstm_forward(params, x, h_0=None, c_0=None, lengths=None):
    r"""Run an LSTM; return h and c, each (T + 1, B, H), and the gates of every step.

    .. math::

        i_t, f_t, o_t &= \sigma(W_{xh} x_t + W_{hh} h_{t-1} + b_h) \quad
            \text{by their blocks of rows} \\
        g_t &= \tanh(\text{the same, by its block}) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t, \qquad h_t = o_t \odot \tanh(c_t)

    The blocks stand in the order i, f, g, o.
    """
    W_xh, W_hh, b_h = params["W_xh"], params["W_hh"], params["b_h"]
    h, c, alive = _states(x, W_hh, h_0), _states(x, W_hh, c_0), _alive(x, lengths)
    H = W_hh.shape[1]
    gates = []
    for t in range(len(x)):
        a = x[t] @ W_xh.T + h[t] @ W_hh.T + b_h  # (B, 4H)
        i, f = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H])
        g, o = np.tanh(a[:, 2 * H : 3 * H]), sigmoid(a[:, 3 * H :])
        c[t + 1] = f * c[t] + i * g
        tanh_c = np.tanh(c[t + 1])
        h[t + 1] = o * tanh_c
        gates.append((i, f, g, o, tanh_c))
        if alive is not None:
            h[t + 1] = np.where(alive[t], h[t + 1], h[t])
            c[t + 1] = np.where(alive[t], c[t + 1], c[t])
    return h, c, gates


def lstm_backward(params, x, h, c, gates, dh, dc_T=None, lengths=None):
    r"""Backpropagate through :func:`lstm_forward`; return grads, dx, dh_0, dc_0.

    With :math:`\bar{h}_t` and :math:`\bar{c}_t` all of the gradient that reaches a state,

    .. math::

        \bar{h}_t &= \mathrm{d}h_t + W_{hh}^\top \mathrm{d}a_{t+1}, \qquad
        \bar{c}_t = f_{t+1} \odot \bar{c}_{t+1} + \bar{h}_t \odot o_t \odot (1 - \tanh^2 c_t) \\
        \mathrm{d}a^i_t &= \bar{c}_t \odot g_t \odot i_t (1 - i_t), \qquad
        \mathrm{d}a^f_t = \bar{c}_t \odot c_{t-1} \odot f_t (1 - f_t) \\
        \mathrm{d}a^g_t &= \bar{c}_t \odot i_t \odot (1 - g_t^2), \qquad
        \mathrm{d}a^o_t = \bar{h}_t \odot \tanh(c_t) \odot o_t (1 - o_t).
    """
    W_xh, W_hh = params["W_xh"], params["W_hh"]
    grads = {name: np.zeros_like(w) for name, w in params.items()}
    dx, alive = np.empty_like(x), _alive(x, lengths)
    dh_next = np.zeros_like(h[0])
    dc_next = np.zeros_like(c[0]) if dc_T is None else dc_T
    for t in reversed(range(len(x))):
        i, f, g, o, tanh_c = gates[t]
        dh_t, dh_held = _split(dh[t] + dh_next, alive, t)
        dc_t, dc_held = _split(dc_next, alive, t)
        dc_t = dc_t + dh_t * o * (1 - tanh_c**2)
        di = dc_t * g * i * (1 - i)
        df = dc_t * c[t] * f * (1 - f)
        dg = dc_t * i * (1 - g**2)
        do = dh_t * tanh_c * o * (1 - o)
        da = np.concatenate([di, df, dg, do], axis=1)  # (B, 4H)
        grads["W_xh"] += da.T @ x[t]
        grads["W_hh"] += da.T @ h[t]
        grads["b_h"] += da.sum(0)
        dx[t] = da @ W_xh
        dh_next = da @ W_hh + dh_held
        dc_next = dc_t * f + dc_held
    return grads, dx, dh_next, dc_next


def gru_forward(params, x, h_0=None, lengths=None):
    r"""Run a GRU; return h (T + 1, B, H) and the gates of every step.

    .. math::

        r_t, z_t &= \sigma(W_{xh} x_t + W_{hh} h_{t-1} + b_h) \quad
            \text{by their blocks of rows} \\
        m_t &= W_{hn} h_{t-1} + b_n, \qquad
        n_t = \tanh(W_{xn} x_t + b_{hn} + r_t \odot m_t) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    The blocks stand in the order r, z, n; the last ones of ``W_xh``, ``W_hh`` and ``b_h``
    are :math:`W_{xn}`, :math:`W_{hn}` and :math:`b_{hn}`.
    """
    W_xh, W_hh, b_h, b_n = (params[name] for name in ("W_xh", "W_hh", "b_h", "b_n"))
    h, alive = _states(x, W_hh, h_0), _alive(x, lengths)
    H = W_hh.shape[1]
    gates = []
    for t in range(len(x)):
        a = x[t] @ W_xh.T + b_h  # (B, 3H)
        u = h[t] @ W_hh.T  # (B, 3H)
        r = sigmoid(a[:, :H] + u[:, :H])
        z = sigmoid(a[:, H : 2 * H] + u[:, H : 2 * H])
        m = u[:, 2 * H :] + b_n
        n = np.tanh(a[:, 2 * H :] + r * m)
        h[t + 1] = (1 - z) * n + z * h[t]
        gates.append((r, z, n, m))
        if alive is not None:
            h[t + 1] = np.where(alive[t], h[t + 1], h[t])
    return h, gates


def gru_backward(params, x, h, gates, dh, lengths=None):
    r"""Backpropagate through :func:`gru_forward`; return grads, dx, dh_0.

    With :math:`\bar{h}_t` all of the gradient that reaches :math:`h_t`, :math:`a_t` what
    the gates' functions are applied to, and :math:`u_t = W_{hh} h_{t-1}`,

    .. math::

        \mathrm{d}a^n_t &= \bar{h}_t \odot (1 - z_t) \odot (1 - n_t^2), \qquad
        \mathrm{d}a^r_t = \mathrm{d}a^n_t \odot m_t \odot r_t (1 - r_t) \\
        \mathrm{d}a^z_t &= \bar{h}_t \odot (h_{t-1} - n_t) \odot z_t (1 - z_t), \qquad
        \mathrm{d}u_t = [\mathrm{d}a^r_t,\ \mathrm{d}a^z_t,\ r_t \odot \mathrm{d}a^n_t] \\
        \bar{h}_{t-1} &= \mathrm{d}h_{t-1} + z_t \odot \bar{h}_t + W_{hh}^\top \mathrm{d}u_t.
    """
    W_xh, W_hh = params["W_xh"], params["W_hh"]
    grads = {name: np.zeros_like(w) for name, w in params.items()}
    dx, alive = np.empty_like(x), _alive(x, lengths)
    dh_next = np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        r, z, n, m = gates[t]
        dh_t, dh_held = _split(dh[t] + dh_next, alive, t)
        dn = dh_t * (1 - z) * (1 - n**2)
        dr = dn * m * r * (1 - r)
        dz = dh_t * (h[t] - n) * z * (1 - z)
        dm = dn * r
        da = np.concatenate([dr, dz, dn], axis=1)  # (B, 3H)
        du = np.concatenate([dr, dz, dm], axis=1)  # (B, 3H)
        grads["W_xh"] += da.T @ x[t]
        grads["W_hh"] += du.T @ h[t]
        grads["b_h"] += da.sum(0)
        grads["b_n"] += dm.sum(0)
        dx[t] = da @ W_xh
        dh_next = du @ W_hh + dh_t * z + dh_held
    return grads, dx, dh_next


def _states(x, W_hh, s_0):
    """Make room for the states (T + 1, B, H) and set the first."""
    s = np.empty((len(x) + 1, x.shape[1], W_hh.shape[1]), W_hh.dtype)
    s[0] = 0 if s_0 is None else s_0
    return s


def _alive(x, lengths):
    """Say which sequences still run at each step: (T, B, 1), or None if all always do."""
    if lengths is None:
        return None
    return (np.arange(len(x))[:, None] < np.asarray(lengths))[..., None]


def _split(d, alive, t):
    """Split a gradient into what enters the cell at step t and what passes by it."""
    if alive is None:
        return d, 0
    return d * alive[t], d * ~alive[t]
