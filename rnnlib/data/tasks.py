"""Synthetic tasks that measure how far a memory reaches; drawn afresh, never stored."""

import numpy as np


def adding(T, B, rng, dtype=np.float64):
    """Draw a batch of the adding problem: add the two numbers that are marked.

    Each sequence holds T numbers, uniform on [0, 1). One number of its first half and one
    of its second half are marked with a 1; the target is their sum. Answering 1 always
    gives a mean squared error of 1/6.

    Source: [Hochreiter and Schmidhuber, 1997], section 5.4, in the form of
    [Le et al., 2015], section 4.1.

    Parameters
    ----------
    T, B : int
        Length, at least 2, and number of sequences, at least 1.
    rng : numpy.random.Generator
        Source of the random numbers.
    dtype : numpy dtype
        float32 or float64.

    Returns
    -------
    x : numpy.ndarray
        (T, B, 2): the numbers and the marks.
    target : numpy.ndarray
        (B, 1).
    """
    if T < 2 or B < 1:
        raise ValueError(f"expected T of at least 2 and B of at least 1, got T={T}, B={B}")
    x = np.zeros((T, B, 2), dtype)
    x[..., 0] = rng.random((T, B))
    rows = np.arange(B)
    first, second = rng.integers(0, T // 2, B), rng.integers(T // 2, T, B)
    x[first, rows, 1] = x[second, rows, 1] = 1
    return x, (x[first, rows, 0] + x[second, rows, 0])[:, None]


def copying(delay, B, rng, length=10, symbols=8):
    """Draw a batch of the copying problem: repeat what was read, after a long wait.

    The net reads `length` random symbols, then `delay` blanks, of which the last is the
    signal to begin, then `length` further blanks, during which it must give the symbols
    back in order. At all earlier steps the answer is a blank. Without memory, the best is
    a mean cross-entropy of ``length * log(symbols) / T`` nats.

    Source: [Hochreiter and Schmidhuber, 1997] for tasks of this kind, [Arjovsky et al.,
    2016], section 4.1, for this form.

    Parameters
    ----------
    delay : int
        Steps from the last symbol to the signal, at least 1.
    B : int
        Number of sequences, at least 1.
    rng : numpy.random.Generator
        Source of the random numbers.
    length, symbols : int
        How many symbols, and of how many kinds.

    Returns
    -------
    x : numpy.ndarray
        Token ids (T, B) with T = 2 * length + delay; 0 is the blank, 1 to `symbols` the
        symbols, and ``symbols + 1`` the signal.
    target : numpy.ndarray
        Token ids (T, B): 0, and in the last `length` steps the symbols.
    """
    if min(delay, B, length, symbols) < 1:
        raise ValueError(
            "expected delay, B, length and symbols of at least 1, "
            f"got {delay}, {B}, {length}, {symbols}"
        )
    x = np.zeros((2 * length + delay, B), np.int64)
    target = np.zeros_like(x)
    target[-length:] = x[:length] = rng.integers(1, symbols + 1, (length, B))
    x[length + delay - 1] = symbols + 1
    return x, target
