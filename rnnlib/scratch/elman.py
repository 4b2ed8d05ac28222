r"""The Elman recurrence in NumPy: forward through time, and the gradient back.

.. math::

    h_t = \tanh(W_{xh} x_t + W_{hh} h_{t-1} + b_h), \qquad t = 1, \dots, T

The output layer is not part of this module: see :mod:`rnnlib.scratch.losses`.
Source: [Elman, 1990] for the network, [Werbos, 1990] for its gradient.
"""

import numpy as np

from rnnlib.scratch import blocks, inputs


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


def init_gates(gates, I, H, rng, dtype, orthogonal):
    """Draw the stacked parameters of so many gates, each as :func:`init` draws its own."""
    drawn = [init(I, H, rng, dtype, orthogonal) for _ in range(gates)]
    return {name: np.concatenate([p[name] for p in drawn]) for name in drawn[0]}


def xavier(n_out, n_in, rng):
    """Draw an (n_out, n_in) matrix, uniform on ±sqrt(6 / (n_in + n_out)).

    Source: [Glorot and Bengio, 2010], equation 16.
    """
    limit = np.sqrt(6.0 / (n_in + n_out))
    return rng.uniform(-limit, limit, (n_out, n_in))


def forward(params, x, h_0=None, lengths=None):
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
    lengths : array_like of int, optional
        Steps of each sequence, (B,), in any order, each in 1..T. Past its end a sequence
        keeps its state, so that entry T is every sequence's last.

    Returns
    -------
    numpy.ndarray
        The states (T + 1, B, H): entry 0 is ``h_0`` and entry t is ``h_t``.

    Raises
    ------
    ValueError
        If a shape does not fit, the sequence or the batch is empty, a token id or a
        length is out of range, or a number is not finite.
    TypeError
        If a dtype does not fit.
    """
    x, held = inputs.check(params, x, 1, lengths, h_0=h_0)
    W_xh, W_hh, b_h = params["W_xh"], params["W_hh"], params["b_h"]
    T, B = x.shape[:2]
    h = np.empty((T + 1, B, len(b_h)), W_hh.dtype)
    h[0] = 0 if h_0 is None else h_0
    project = blocks.projection(W_xh, np.tile(b_h, (1, B, 1)), x)
    expand = blocks.expansion(W_hh, 1, B)
    (product,) = expand(h[0])  # (B, H), where every later product will lie, too
    for span in blocks.spans(T, B, h.nbytes, 0.1):
        project(x[span], h[None, 1:][:, span])
        for t, (h_before, h_t) in enumerate(zip(h[span], h[1:][span]), span.start):
            expand(h_before)
            h_t += product
            np.tanh(h_t, out=h_t)
            if held is not None:
                np.copyto(h_t, h_before, where=held[t])
    inputs.check_state(h, params)
    return h


def backward(params, x, h, dh, lengths=None):
    r"""Backpropagate through time.

    With :math:`\delta_t = \mathrm{d}L/\mathrm{d}a_t`, where :math:`a_t` is what the
    tanh is applied to,

    .. math::

        \delta_t = (1 - h_t^2) \odot
            \bigl(\partial L/\partial h_t + W_{hh}^\top \delta_{t+1}\bigr).

    Parameters
    ----------
    params, x, lengths
        As given to :func:`forward`.
    h : numpy.ndarray
        What :func:`forward` returned, (T + 1, B, H); not changed.
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
    x, held = inputs.check(params, x, 1, lengths, again=True)
    inputs.check_tape(x, params, dh, h=h)
    W_xh, W_hh = params["W_xh"], params["W_hh"]
    T, B, H = dh.shape
    dW_xh, dW_hh, db = np.empty_like(W_xh), np.empty_like(W_hh), np.zeros(H, W_hh.dtype)
    dx = None if x.ndim == 2 else np.empty_like(x)
    dh_t, kept = np.zeros((2, B, H), W_hh.dtype)
    contract = blocks.contraction(W_hh, 1, dh_t)
    spans = blocks.spans(T, B, h.nbytes, 0.1)
    buffer = np.empty((spans[0].stop, B, H), W_hh.dtype)
    for span in reversed(spans):
        delta = buffer[: span.stop - span.start]
        np.square(h[1:][span], out=delta)
        np.subtract(1, delta, out=delta)  # the derivative of tanh; becomes delta_t step by step
        steps = zip(range(span.start, span.stop), dh[span], delta)
        for t, dh_now, delta_t in reversed(list(steps)):
            dh_t += dh_now
            if held is not None:
                kept[:] = dh_t
                np.copyto(dh_t, 0, where=held[t])
            delta_t *= dh_t
            contract(delta_t[None])
            if held is not None:
                np.copyto(dh_t, kept, where=held[t])
        blocks.accumulate(dW_xh, delta[None], x[span], span is spans[-1])
        blocks.accumulate(dW_hh, delta[None], h[span], span is spans[-1])
        blocks.add_bias_gradient(db[None], delta[None])
        if dx is not None:
            blocks.input_gradient(delta[None], W_xh, dx[span])
    return {"W_xh": dW_xh, "W_hh": dW_hh, "b_h": db}, dx, dh_t
