"""The output layer and the two losses, each with its gradient, in NumPy."""

import numpy as np


def linear(h, W_hy, b_y):
    """Compute ``y = h W_hy^T + b_y`` for h (..., H), W_hy (V, H), b_y (V,)."""
    if h.shape[-1] != W_hy.shape[1]:
        raise ValueError(
            f"expected h of shape (..., H={W_hy.shape[1]}), got {h.shape}: W_hy is stored (V, H)"
        )
    return h @ W_hy.T + b_y


def linear_backward(h, W_hy, dy):
    """Gradients of :func:`linear`.

    Returns
    -------
    dict, numpy.ndarray
        Gradients of ``W_hy`` (V, H) and ``b_y`` (V,), and of h (..., H).
    """
    flat_dy, flat_h = dy.reshape(-1, dy.shape[-1]), h.reshape(-1, h.shape[-1])
    return {"W_hy": flat_dy.T @ flat_h, "b_y": flat_dy.sum(0)}, dy @ W_hy


def softmax_cross_entropy(logits, targets):
    r"""Mean cross-entropy of a softmax, and its gradient.

    .. math::

        L = -\frac{1}{N}\sum_n \log \mathrm{softmax}(y_n)_{k_n}, \qquad
        \frac{\partial L}{\partial y_n}
            = \frac{1}{N}\bigl(\mathrm{softmax}(y_n) - e_{k_n}\bigr)

    Parameters
    ----------
    logits : numpy.ndarray
        Scores (..., V), floating point.
    targets : numpy.ndarray
        Class ids (...), integers in 0..V-1.

    Returns
    -------
    loss : float
        In nats per target; divide by log 2 for bits.
    dlogits : numpy.ndarray
        Gradient of the loss for the logits, (..., V).

    Raises
    ------
    ValueError
        If shapes do not fit, there is no target, or an id is out of range.
    TypeError
        If the targets are not integers.
    """
    V = logits.shape[-1]
    targets = np.asarray(targets)
    if not np.issubdtype(targets.dtype, np.integer):
        raise TypeError(f"expected integer class ids, got {targets.dtype}")
    if logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"expected targets of shape {logits.shape[:-1]} for logits {logits.shape}, "
            f"got {targets.shape}: class ids, not one-hot vectors"
        )
    if targets.size == 0:
        raise ValueError("expected at least one target, got none: an empty batch?")
    if targets.min() < 0 or targets.max() >= V:
        bad = targets[(targets < 0) | (targets >= V)][0]
        raise ValueError(f"expected class ids in 0..{V - 1}, got {bad}")
    rows = logits.reshape(-1, V)
    ids = targets.reshape(-1)
    n = np.arange(len(ids))
    log_p = rows - rows.max(axis=1, keepdims=True)  # exp cannot overflow after this
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    loss = -float(log_p[n, ids].mean())
    drows = np.exp(log_p)
    drows[n, ids] -= 1
    drows /= len(ids)
    return loss, drows.reshape(logits.shape)


def squared_error(y, target):
    r"""Half the squared error summed over features, averaged over the rest.

    Returns the loss and its gradient :math:`(y - \mathrm{target}) / N`.
    """
    if np.shape(y) != np.shape(target):
        raise ValueError(f"expected a target of shape {np.shape(y)}, got {np.shape(target)}")
    if y.size == 0:
        raise ValueError("expected at least one value, got none: an empty batch?")
    N = y.size // y.shape[-1]
    diff = y - target
    return 0.5 * float((diff**2).sum()) / N, diff / N
