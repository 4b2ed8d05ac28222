"""What makes the NumPy kernels fast: long products in blocks of steps, thin ones in tiles.

A recurrent layer has two kinds of matrix product. Those that do not wait for the state
(input projection, weight gradients, input gradients) are done for a block of steps at
once. The one that does wait, a thin state times a square matrix, is done at every step.
Gates are stored gate by gate, ``(G, T, B, H)``, so that a gate of a step is one contiguous
piece of memory for the element-wise functions.
"""

import numpy as np


def spans(T, B, H, itemsize):
    """Cut T steps into blocks: long enough for a good product, short enough for the cache.

    Returns a list of slices. A block has about 1024 rows, and at most an eighth of the
    steps unless a state takes less than 1 MB over all steps.
    """
    steps = min(T, -(-1024 // B))
    if T * B * H * itemsize > 2**20:
        steps = min(steps, -(-T // 8))
    return [slice(t, min(t + steps, T)) for t in range(0, T, steps)]


class Thin:
    """Multiply G thin matrices, or one, by G wide ones, as fast as BLAS can.

    For large products BLAS first copies its operands into a packed form. That pays off if
    the copy is used for many rows, but a state has few. Below 10^6 multiplications
    OpenBLAS does not pack, so the weights are cut into column tiles of 32 to 64.

    Parameters
    ----------
    W : numpy.ndarray
        (G, K, N); copied.
    rows : int
        Rows of the thin matrices.
    """

    def __init__(self, W, rows):
        G, K, N = W.shape
        n = N
        while n > 64 or (n > 32 and rows * K * n > 600_000):
            n //= 2
        if rows == 1 or N % n or rows * K * n > 1_000_000:
            n = N
        if rows > 1:
            W = np.ascontiguousarray(W.reshape(G, K, N // n, n).swapaxes(1, 2))
        self._tiles = W.reshape(G, N // n, K, n)
        self.out = np.empty((G, rows, N), W.dtype)
        self._out = self.out.reshape(G, rows, N // n, n).swapaxes(1, 2)

    def __call__(self, thin):
        """Return thin (rows, K) or (G, rows, K) times W: (G, rows, N), overwritten next time."""
        if thin.ndim == 3:
            thin = thin[:, None]
        np.matmul(thin, self._tiles, out=self._out)
        return self.out


def project(x, W, b, out):
    """Write ``x W_g + b_g`` for every gate g into out (G, K, B, H).

    x is (K, B, I) or token ids (K, B); W is (G, I, H), b (G, 1, H).
    """
    out = _rows(out)
    if x.ndim == 2:
        for W_g, out_g in zip(W, out):
            np.take(W_g, x.reshape(-1), axis=0, out=out_g, mode="clip")
    else:
        np.matmul(x.reshape(-1, x.shape[-1]), W, out=out)
    out += b


def accumulate(out, delta, right):
    """Add ``delta_g^T right`` to out (G, H, N), summed over the steps of a block.

    delta is (G, K, B, H); right is (K, B, N), or token ids (K, B) for one-hot rows.
    """
    for out_g, d in zip(out, _rows(delta)):
        if right.ndim == 2:
            add_rows_by_id(out_g.T, d, right.reshape(-1))
        else:
            out_g += d.T @ right.reshape(-1, right.shape[-1])


def input_gradient(delta, W, out):
    """Write ``sum_g delta_g W_g`` into out (K, B, I), for W (G, H, I)."""
    out = out.reshape(-1, out.shape[-1])
    (first, *rest) = zip(_rows(delta), W)
    np.matmul(*first, out=out)
    for d, W_g in rest:
        out += d @ W_g


def add_rows_by_id(out, rows, ids):
    """Add each row (N, H) to the row of out that its id names; faster than np.add.at."""
    order = np.argsort(ids, kind="stable")
    present, first = np.unique(ids[order], return_index=True)
    out[present] += np.add.reduceat(rows[order], first)


def hold(states, t, held):
    """Give a sequence that has ended its state of step t for step t + 1 as well."""
    np.copyto(states[t + 1], states[t], where=held)


def _rows(blocks):
    """View (G, K, B, H) as (G, K * B, H)."""
    G, K, B, H = blocks.shape
    view = blocks.view()
    view.shape = (G, K * B, H)  # raises instead of copying
    return view
