r"""The Elman recurrence in NumPy: forward through time, and the gradient back.

.. math::

    h_t = \tanh(W_{xh} x_t + W_{hh} h_{t-1} + b_h), \qquad t = 1, \dots, T

The output layer is not part of this module: see :mod:`rnnlib.scratch.losses`.
Source: [Elman, 1990] for the network, [Werbos, 1990] for its gradient.
"""

import numpy as np


def init(I, H, rng, dtype=np.float64, orthogonal=True):
    """Draw fresh parameters of an Elman layer.

    Parameters
    ----------
    I, H : int
        Sizes of the input and of the hidden state, at least 1.
    rng : numpy.random.Generator
        Source of the random numbers.
    dtype : numpy dtype
        float32 or float64.
    orthogonal : bool
        Draw ``W_hh`` orthogonal [Saxe et al., 2014] rather than Xavier-uniform.

    Returns
    -------
    dict of numpy.ndarray
        ``W_xh`` (H, I), ``W_hh`` (H, H) and ``b_h`` (H,), the last all zero.
    """
    if I < 1 or H < 1:
        raise ValueError(f"expected sizes of at least 1, got I={I}, H={H}")
    W_xh = xavier(H, I, rng)
    if orthogonal:
        Q, R = np.linalg.qr(rng.standard_normal((H, H)))
        W_hh = Q * np.sign(np.diag(R))  # the signs make Q uniform over rotations
    else:
        W_hh = xavier(H, H, rng)
    return {
        "W_xh": W_xh.astype(dtype),
        "W_hh": W_hh.astype(dtype),
        "b_h": np.zeros(H, dtype),
    }


def xavier(n_out, n_in, rng):
    """Draw an (n_out, n_in) matrix, uniform on ±sqrt(6 / (n_in + n_out)).

    Source: [Glorot and Bengio, 2010], equation 16.
    """
    limit = np.sqrt(6.0 / (n_in + n_out))
    return rng.uniform(-limit, limit, (n_out, n_in))


def forward(params, x, h_0=None):
    r"""Run the recurrence over a batch of sequences.

    Parameters
    ----------
    params : dict
        As :func:`init` returns it.
    x : numpy.ndarray
        Inputs (T, B, I), of the dtype of the parameters; or token ids (T, B) of an
        integer dtype, which stand for one-hot vectors.
    h_0 : numpy.ndarray, optional
        State before the first step, (B, H); zero if absent.

    Returns
    -------
    numpy.ndarray
        The states (T + 1, B, H): entry 0 is ``h_0`` and entry t is ``h_t``.

    Raises
    ------
    ValueError
        If a shape does not fit, the sequence or the batch is empty, a token id is
        out of range, or an input is not finite.
    TypeError
        If a dtype does not fit.
    """
    W_xh, W_hh, b_h = params["W_xh"], params["W_hh"], params["b_h"]
    _check(params, x, h_0)
    T, B = x.shape[:2]
    h = np.empty((T + 1, B, len(b_h)), W_hh.dtype)
    h[0] = 0 if h_0 is None else h_0
    if x.ndim == 2:
        h[1:] = W_xh.T[x]  # a one-hot input picks a column
    else:
        np.matmul(x, W_xh.T, out=h[1:])
    h[1:] += b_h
    for t in range(1, T + 1):
        h[t] += h[t - 1] @ W_hh.T
        np.tanh(h[t], out=h[t])  # (B, H)
    return h


def backward(params, x, h, dh):
    r"""Backpropagate through time.

    With :math:`\delta_t = \mathrm{d}L/\mathrm{d}a_t`, where :math:`a_t` is what the
    tanh is applied to,

    .. math::

        \delta_t = (1 - h_t^2) \odot
            \bigl(\partial L/\partial h_t + W_{hh}^\top \delta_{t+1}\bigr).

    Parameters
    ----------
    params, x
        As given to :func:`forward`.
    h : numpy.ndarray
        What :func:`forward` returned, (T + 1, B, H).
    dh : numpy.ndarray
        Immediate gradient of the loss for each state, (T, B, H): what reaches
        ``h_t`` from the output at step t alone.

    Returns
    -------
    grads : dict
        Gradients of ``W_xh``, ``W_hh`` and ``b_h``, in those shapes.
    dx : numpy.ndarray or None
        Gradient of the inputs, (T, B, I); None for token ids.
    dh_0 : numpy.ndarray
        Gradient of the initial state, (B, H).
    """
    W_xh, W_hh = params["W_xh"], params["W_hh"]
    T, B, H = dh.shape
    if h.shape != (T + 1, B, H):
        raise ValueError(
            f"expected states of shape (T+1, B, H) = {(T + 1, B, H)}, got {h.shape}: "
            "pass what forward returned, with the initial state first"
        )
    delta = 1 - h[1:] ** 2  # the derivative of tanh; becomes delta_t step by step
    dh_next = np.zeros((B, H), dh.dtype)
    for t in reversed(range(T)):
        delta[t] *= dh[t] + dh_next
        dh_next = delta[t] @ W_hh
    flat = delta.reshape(T * B, H)
    grads = {"W_hh": flat.T @ h[:-1].reshape(T * B, H), "b_h": flat.sum(0)}
    if x.ndim == 2:
        grads["W_xh"] = _sum_rows_by_id(flat, x.reshape(-1), W_xh.shape[1]).T
        return grads, None, dh_next
    grads["W_xh"] = flat.T @ x.reshape(T * B, -1)
    return grads, delta @ W_xh, dh_next


def _sum_rows_by_id(rows, ids, n):
    """Add up the rows (N, H) that share an id: (n, H). Faster than np.add.at."""
    order = np.argsort(ids, kind="stable")
    present, first = np.unique(ids[order], return_index=True)
    out = np.zeros((n, rows.shape[1]), rows.dtype)
    out[present] = np.add.reduceat(rows[order], first)
    return out


def _check(params, x, h_0):
    H, I = params["W_xh"].shape
    if params["W_hh"].shape != (H, H) or params["b_h"].shape != (H,):
        raise ValueError(
            f"expected W_hh {(H, H)} and b_h {(H,)} to go with W_xh {(H, I)}, "
            f"got {params['W_hh'].shape} and {params['b_h'].shape}"
        )
    x = np.asarray(x)
    tokens = x.ndim == 2 and np.issubdtype(x.dtype, np.integer)
    if not tokens and (x.ndim != 3 or x.shape[2] != I):
        hint = ": batch-first or transposed input?" if I in x.shape else ""
        if x.ndim == 2:
            hint = ": token ids must have an integer dtype"
        raise ValueError(f"expected x of shape (T, B, I={I}), got {x.shape}{hint}")
    T, B = x.shape[:2]
    if T == 0 or B == 0:
        raise ValueError(f"expected at least one step and one sequence, got T={T}, B={B}")
    if tokens:
        if x.min() < 0 or x.max() >= I:
            bad = x[(x < 0) | (x >= I)][0]
            raise ValueError(f"expected token ids in 0..{I - 1}, got {bad}")
    else:
        if x.dtype != params["W_xh"].dtype:
            raise TypeError(
                f"expected x of dtype {params['W_xh'].dtype} like the parameters, "
                f"got {x.dtype}: convert it with x.astype"
            )
        finite = np.isfinite(x).all(axis=(1, 2))
        if not finite.all():
            raise ValueError(f"x is not finite, first at step t={int(np.argmin(finite))}")
    if h_0 is not None and np.shape(h_0) != (B, H):
        raise ValueError(f"expected h_0 of shape (B, H) = {(B, H)}, got {np.shape(h_0)}")
