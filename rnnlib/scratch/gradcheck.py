"""Check a gradient against central differences."""

import numpy as np


def relative_error(a, b, eps=1e-12):
    r"""Largest :math:`|a-b| / \max(|a|+|b|, \varepsilon)` over all entries.

    Parameters
    ----------
    a, b : array_like
        Arrays of one shape.
    eps : float
        Floor of the denominator: two entries that both vanish agree.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"expected two arrays of one shape, got {a.shape} and {b.shape}")
    if a.size == 0:
        raise ValueError("expected at least one entry to compare, got none")
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(a) + np.abs(b), eps)))


def central_differences(loss, array, step=5e-4, coordinates=None):
    r"""Estimate the gradient of a loss by moving one coordinate at a time.

    With :math:`D(s) = (L(\theta + s e_i) - L(\theta - s e_i)) / 2s`, whose error begins
    with a term in :math:`s^2`, two steps are combined so that this term cancels:

    .. math::

        \frac{\partial L}{\partial \theta_i} \approx \frac{4 D(s) - D(2s)}{3}

    The error that is left is of order :math:`s^4`, which permits a step large enough for
    rounding not to matter.

    Parameters
    ----------
    loss : callable
        ``loss() -> float``; must read `array` afresh at each call.
    array : numpy.ndarray
        float64; changed in place during the call and restored after it.
    step : float
        The distance s of the shorter move.
    coordinates : sequence of int, optional
        Flat indices to visit; all of them if absent.

    Returns
    -------
    numpy.ndarray
        One estimate for each coordinate visited, in that order.

    Raises
    ------
    TypeError
        If the array is not float64.
    ValueError
        If the array is not contiguous.
    """
    if array.dtype != np.float64:
        raise TypeError(
            f"expected a float64 array, got {array.dtype}: float32 leaves too few digits "
            "for a difference of two losses"
        )
    flat = array.reshape(-1)
    if not np.shares_memory(flat, array):
        raise ValueError("expected a contiguous array: a copy would be moved, not the original")
    coordinates = range(flat.size) if coordinates is None else coordinates
    weights = ((step, 8), (-step, -8), (2 * step, -1), (-2 * step, 1))
    out = np.zeros(len(coordinates))
    for n, i in enumerate(coordinates):
        old = flat[i]
        try:
            for move, weight in weights:
                flat[i] = old + move
                out[n] += weight * loss()
        finally:
            flat[i] = old
    return out / (12 * step)


def check_gradients(loss, arrays, grads, step=5e-4, sample=None, rng=None, eps=1e-12):
    """Compare given gradients with central differences, array by array.

    Parameters
    ----------
    loss : callable
        ``loss() -> float`` of the arrays as they stand.
    arrays, grads : dict of numpy.ndarray
        The float64 arrays that the loss reads, and its gradient for each.
    step : float
        As for :func:`central_differences`.
    sample : int, optional
        Visit at most so many coordinates of each array, drawn without repetition.
    rng : numpy.random.Generator, optional
        Draws the sample; needed only with `sample`.
    eps : float
        As for :func:`relative_error`.

    Returns
    -------
    dict of float
        The largest relative error for each name in `grads`.

    Raises
    ------
    KeyError
        If a gradient has no array of its name.
    ValueError
        If a gradient has not the shape of its array.
    """
    errors = {}
    for name, g in grads.items():
        if name not in arrays:
            raise KeyError(f"gradient {name!r} has no array; arrays are {sorted(arrays)}")
        array = arrays[name]
        if np.shape(g) != array.shape:
            raise ValueError(f"expected gradient {name} of shape {array.shape}, got {np.shape(g)}")
        where = np.arange(array.size)
        if sample is not None and array.size > sample:
            where = np.sort((rng or np.random.default_rng(0)).choice(where, sample, replace=False))
        numeric = central_differences(loss, array, step, where)
        errors[name] = relative_error(np.reshape(g, -1)[where], numeric, eps)
    return errors
