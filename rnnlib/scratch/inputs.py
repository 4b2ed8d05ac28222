"""What the three recurrent kernels demand of their inputs, with errors that say so."""

import numpy as np

_EMPTY = "expected at least one step and one sequence, got T={}, B={}"
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def check(params, x, gates, lengths, again=False, **states):
    """Check everything that a kernel's ``forward`` is given, and its ``backward`` again.

    Parameters
    ----------
    params : dict of numpy.ndarray
        ``W_xh`` (gates * H, I), ``W_hh`` (gates * H, H), ``b_h`` (gates * H,), and for a
        GRU ``b_n`` (H,).
    x : array_like
        (T, B, I) of the parameters' dtype, or token ids (T, B) of an integer dtype.
    gates : int
        Blocks of H rows in each weight matrix.
    lengths : array_like of int or None
        (B,), each in 1..T.
    again : bool
        Forward has seen these inputs: do not look for numbers that are not finite.
    **states : numpy.ndarray or None
        Initial states by name, each (B, H).

    Returns
    -------
    x : numpy.ndarray
        Contiguous, token ids as int64.
    held : numpy.ndarray of bool or None
        (T, B, 1), true where a sequence has already ended; None without `lengths`.

    Raises
    ------
    ValueError
        If a shape does not fit, there is no step or no sequence, an id or a length is
        out of range, or a number is not finite.
    TypeError
        If a dtype does not fit.
    """
    dtype, H, I = _check_params(params, gates)
    x = np.asarray(x)
    if x.ndim == 2 and np.issubdtype(x.dtype, np.integer):
        x = _ids(x, I)
    else:
        _check_features(x, I, dtype, again)
    T, B = x.shape[:2]
    for name, state in states.items():
        if state is not None:
            check_array(name, state, (B, H), "(B, H)", dtype)
    return np.ascontiguousarray(x), None if lengths is None else _held(lengths, T, B)


def check_tape(x, params, dh, **tape):
    """Raise unless dh and what forward returned have the shapes that belong together."""
    dtype, H = params["W_hh"].dtype, params["W_hh"].shape[1]
    T, B = x.shape[:2]
    check_array("dh", dh, (T, B, H), "(T, B, H)", dtype)
    for name, array in tape.items():
        shape, letters = (T + 1, B, H), "(T+1, B, H)"
        if name == "gates":
            shape, letters = (4, T, B, H), "(4, T, B, H)"
        if np.shape(array) != shape or array.dtype != dtype:
            raise ValueError(
                f"expected {name} of shape {letters} = {shape} and dtype {dtype}, got "
                f"{np.shape(array)}: pass what forward returned for these inputs"
            )


def check_array(name, array, shape, letters, dtype):
    """Raise unless an array has this shape and dtype and only finite numbers."""
    if np.shape(array) != shape:
        raise ValueError(f"expected {name} of shape {letters} = {shape}, got {np.shape(array)}")
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected {name} as a NumPy array, got a {type(array).__name__}")
    if array.dtype != dtype:
        raise TypeError(
            f"expected {name} of dtype {dtype} like the parameters, got {array.dtype}: "
            f"convert it with {name}.astype"
        )
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} is not finite, first at {where}")


def check_state(h, params):
    """Raise if the last state is not finite; name a weight that is not, or the first step."""
    if np.isfinite(h[-1]).all():
        return
    for name, array in params.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite: did training diverge?")
    finite = np.isfinite(h).all(axis=(1, 2))
    raise ValueError(
        f"the state is not finite, first at step t={int(np.argmin(finite)) - 1} (counted from "
        "0, as x is): did weights or inputs become so large that a sum overflowed?"
    )


def _check_params(params, gates):
    dtype, H, I = params["W_hh"].dtype, params["W_hh"].shape[-1], params["W_xh"].shape[-1]
    if dtype not in FLOATS:
        raise TypeError(
            f"expected weights of dtype float32 or float64, got {dtype}: half precision is "
            "too coarse for a recurrence in NumPy"
        )
    wanted = {"W_hh": (gates * H, H), "W_xh": (gates * H, I), "b_h": (gates * H,), "b_n": (H,)}
    for name, shape in wanted.items():
        if name == "b_n" and gates != 3:
            continue
        array = params[name]
        if array.shape != shape:
            raise ValueError(
                f"expected {name} of shape {shape}, for {gates} gate(s) of H={H} units and "
                f"I={I} inputs, got {array.shape}: weights of another cell or size?"
            )
        if array.dtype != dtype:
            raise TypeError(f"expected {name} of dtype {dtype} like W_hh, got {array.dtype}")
    return dtype, H, I


def _ids(x, I):
    if 0 in x.shape:
        raise ValueError(_EMPTY.format(*x.shape))
    if x.min() < 0 or x.max() >= I:
        t, b = (int(i) for i in np.argwhere((x < 0) | (x >= I))[0])
        hint = f": too large for {x.dtype} and wrapped round?" if x[t, b] < 0 else ""
        raise ValueError(
            f"expected token ids in 0..{I - 1}, got {x[t, b]} at step t={t}, sequence {b}{hint}"
        )
    return x.astype(np.int64, copy=False)


def _check_features(x, I, dtype, again):
    if x.ndim != 3 or x.shape[2] != I:
        hint = ": batch-first or transposed input?" if I in x.shape else ""
        if x.ndim == 2:
            hint = ": token ids must have an integer dtype"
        raise ValueError(f"expected x of shape (T, B, I={I}), got {x.shape}{hint}")
    if 0 in x.shape:
        raise ValueError(_EMPTY.format(*x.shape))
    if x.dtype != dtype:
        raise TypeError(
            f"expected x of dtype {dtype} like the parameters, got {x.dtype}: "
            "convert it with x.astype"
        )
    if again:
        return
    # A sum is finite unless an entry is not, or the entries are huge: then look closely.
    with np.errstate(over="ignore", invalid="ignore"):
        total = x.sum()
    if not np.isfinite(total):
        finite = np.isfinite(x).all(axis=(1, 2))
        if not finite.all():
            raise ValueError(f"x is not finite, first at step t={int(np.argmin(finite))}")


def _held(lengths, T, B):
    lengths = np.asarray(lengths)
    if lengths.shape != (B,):
        raise ValueError(f"expected lengths of shape (B,) = {(B,)}, got {lengths.shape}")
    if not np.issubdtype(lengths.dtype, np.integer):
        raise TypeError(f"expected integer lengths, got {lengths.dtype}")
    wrong = (lengths < 1) | (lengths > T)
    if wrong.any():
        b = int(np.argmax(wrong))
        raise ValueError(f"expected lengths in 1..T={T}, got {lengths[b]} for sequence {b}")
    return (np.arange(T)[:, None] >= lengths)[:, :, None]
