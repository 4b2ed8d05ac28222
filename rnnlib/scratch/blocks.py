"""What makes the NumPy kernels fast: the matrix products, and how gates lie in memory.

A recurrent layer has two kinds of product. Those that do not wait for the state (input
projection, weight gradients, input gradients) are done for a block of steps at once. The
one that does wait, a thin state times a wide matrix, is done at every step.

Stacked weights (G * H, N) hold one matrix for each of G gates, below each other. An array
of gates is (G, T, B, H), so that ``gates[g, t]`` is one contiguous piece of memory for the
element-wise functions.
"""

import numpy as np

# OpenBLAS packs its operands before it multiplies, unless the product takes fewer than 10^6
# multiplications. Packing pays off over many rows, and a state has few.
_PACKED = 1_000_000


def spans(T, B, size, share):
    """Cut T steps into blocks: long enough for a good product, short enough for the cache.

    Returns a list of slices. A block has about 512 rows. So that its working memory does not
    add much to the states that are stored, it has at most this share of the steps, unless
    the states (T, B, H), of `size` bytes, are small anyway.
    """
    steps = min(T, -(-512 // B))
    if size > 2**18:
        steps = min(steps, max(1, int(share * T)))
    return [slice(t, min(t + steps, T)) for t in range(0, T, steps)]


def tile(rows, K, N):
    """Return the width of the column tiles in which (rows, K) times (K, N) is fastest."""
    n = N
    while n > 64 or (n > 32 and rows * K * n > 0.6 * _PACKED):
        n //= 2
    return N if rows == 1 or N % n or rows * K * n > _PACKED else n


def by_step(W, G, B):
    """Say whether projecting B inputs with stacked W (G * H, I) is fastest step by step.

    It is while the product is small and W stays in the cache from one step to the next.
    """
    I, H = W.shape[1], len(W) // G
    return B == 1 or (W.nbytes <= 2**20 and B * I * tile(B, I, H) < 0.6 * _PACKED)


def empty(G, T, B, H, dtype, stepwise):
    """Allocate gates (G, T, B, H), in memory step by step, or else gate by gate."""
    if stepwise:
        return np.empty((T, G, B, H), dtype).swapaxes(0, 1)
    return np.empty((G, T, B, H), dtype)


def projection(W, b, x):
    """Prepare the input projection of stacked W (G * H, I) and bias b (G, B, H) for x.

    Returns a function that writes ``x W_g^T + b_g`` into gates, given a block of x, (K, B, I)
    or token ids (K, B), and the block of gates, (G, K, B, H).
    """
    (G, B, H), I = b.shape, W.shape[1]
    by_gate = W.reshape(G, H, I).swapaxes(1, 2)  # (G, I, H)
    b = b[:, None]
    if x.ndim == 2:
        rows = np.ascontiguousarray(by_gate)

        def project(x, out):
            for rows_g, out_g in zip(rows, out):
                out_g[...] = rows_g[x]
            out += b
    elif B == 1:

        def project(x, out):
            np.matmul(x[:, 0], W.T, out=_in_a_row(out))
            out += b
    elif by_step(W, G, B):
        n = tile(B, I, H)
        tiles = np.ascontiguousarray(by_gate.reshape(G, I, H // n, n).swapaxes(1, 2))

        def project(x, out):
            view = out.swapaxes(0, 1).reshape(len(x), G, B, H // n, n).swapaxes(2, 3)
            np.matmul(x[:, None, None], tiles, out=view)
            out += b
    else:

        def project(x, out):
            np.matmul(x.reshape(-1, I), by_gate, out=_rows(out))
            out += b

    return project


def expansion(W, G, rows):
    """Prepare the product of a state (rows, H) with each gate's W_g^T, for W (G * H, H).

    Returns a function of the state. Its result, (G, rows, H), is overwritten by the next.
    """
    H = W.shape[1]
    out = np.empty((G, rows, H), W.dtype)
    if rows == 1:
        flat = out.reshape(1, G * H)

        def expand(state):
            np.matmul(state, W.T, out=flat)
            return out
    else:
        n = tile(rows, H, H)
        tiles = W.reshape(G, H // n, n, H).swapaxes(2, 3).copy()
        view = out.reshape(G, rows, H // n, n).swapaxes(1, 2)

        def expand(state):
            np.matmul(state, tiles, out=view)
            return out

    return expand


def contraction(W, G, out):
    """Prepare the sum over gates of delta_g W_g, for W (G * H, H).

    Returns a function of delta (G, rows, H) that writes the sum into out (rows, H).
    """
    rows, H = out.shape
    if rows == 1:
        return lambda delta: np.matmul(delta.reshape(1, G * H), W, out=out)
    n = tile(rows, H, H)
    tiles = W.reshape(G, H, H // n, n).swapaxes(1, 2).copy()
    parts = out[None] if G == 1 else np.empty((G, rows, H), W.dtype)
    view = parts.reshape(G, rows, H // n, n).swapaxes(1, 2)

    def contract(delta):
        np.matmul(delta[:, None], tiles, out=view)
        if G > 1:
            np.add.reduce(parts, out=out)

    return contract


def accumulate(out, delta, right, fresh):
    """Add ``delta_g^T right`` to stacked out (G * H, N), summed over the steps of a block.

    delta is (G, K, B, H); right is (K, B, N), or token ids (K, B) for one-hot rows. If the
    sum is fresh, what was in out is overwritten.
    """
    G, _, B, H = delta.shape
    if right.ndim == 2:
        if fresh:
            out[:] = 0
        for out_g, d in zip(out.reshape(G, H, -1), delta):
            _add_rows_by_id(out_g.T, d.reshape(-1, H), right.reshape(-1))
        return
    right = right.reshape(-1, right.shape[-1])
    pairs = [(out, _in_a_row(delta))] if B == 1 else zip(out.reshape(G, H, -1), _rows(delta))
    for out_g, d in pairs:
        if fresh:
            _transposed_product(d, right, out_g)
        else:
            out_g += _transposed_product(d, right, np.empty_like(out_g))


def input_gradient(delta, W, out):
    """Write the sum over gates of delta_g W_g into out (K, B, I), for stacked W (G * H, I)."""
    (G, _, B, H), I = delta.shape, W.shape[1]
    if B == 1:
        np.matmul(_in_a_row(delta), W, out=out[:, 0])
        return
    if G == 1:
        np.matmul(delta[0], W, out=out)
        return
    if B * H * I < 0.3 * _PACKED:  # then small products, step by step, and one sum
        np.add.reduce(delta @ W.reshape(G, 1, H, I), out=out)
        return
    out = out.reshape(-1, I)
    first, *rest = zip(_rows(delta), W.reshape(G, H, I))
    np.matmul(*first, out=out)
    for d, W_g in rest:
        out += d @ W_g


def add_bias_gradient(out, delta):
    """Add delta (G, K, B, H), summed over steps and sequences, to out (G, H)."""
    if delta.shape[2] == 1:
        out += delta.sum(axis=(1, 2))
    else:  # a product with ones is faster than a sum over long columns
        rows = _rows(delta)
        out += np.ones(rows.shape[1], rows.dtype) @ rows


def _transposed_product(a, b, out):
    """Write a^T b into out (M, N), for a (rows, M) and b (rows, N); in tiles if that is small."""
    (rows, M), N = a.shape, b.shape[1]
    if M % 32 or N % 64 or rows * 32 * 64 > 0.6 * _PACKED:
        return np.matmul(a.T, b, out=out)
    a = a.reshape(rows, M // 32, 1, 32).transpose(1, 2, 3, 0)
    b = b.reshape(rows, N // 64, 64).swapaxes(0, 1)
    np.matmul(a, b, out=out.reshape(M // 32, 32, N // 64, 64).swapaxes(1, 2))
    return out


def _add_rows_by_id(out, rows, ids):
    """Add each row (N, H) to the row of out that its id names; faster than np.add.at."""
    order = np.argsort(ids, kind="stable")
    present, first = np.unique(ids[order], return_index=True)
    out[present] += np.add.reduceat(rows[order], first)


def _rows(gates):
    """View (G, K, B, H) as (G, K * B, H)."""
    G, K, B, H = gates.shape
    return gates.reshape(G, K * B, H)


def _in_a_row(gates):
    """View (G, K, 1, H), step by step in memory, as (K, G * H)."""
    G, K, _, H = gates.shape
    return gates.swapaxes(0, 1).reshape(K, G * H)
