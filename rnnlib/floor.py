"""The least time that a recurrent layer can take in NumPy on this machine, for the bench.

It does the matrix products of a forward and a full backward pass, by the BLAS that NumPy
has, and the least pointwise work: one tanh of every gate, and the few sums and products
without which no state and no gradient could reach the next step. Everything is written to
buffers that exist already, and every view is made in advance. Products that do not wait
for the state are taken for some thousand rows at once; for those that do, the fastest of a
few ways is found by trying. The numbers are without meaning, and of a moderate size, so
that nothing overflows or becomes subnormal, which would take longer.
"""

import math
import timeit

import numpy as np


def contestant(cell, T, B, I, H):
    """Return a function that does the least work of one cell at one size.

    Parameters
    ----------
    cell : str
        "rnn", "lstm" or "gru".
    T, B, I, H : int
        Steps, sequences, inputs and hidden units.
    """
    G = {"rnn": 1, "lstm": 4, "gru": 3}[cell]
    rng = np.random.default_rng(0)

    def draw(*shape, scale=1.0):
        return np.float32(scale) * rng.standard_normal(shape, np.float32)

    small = 0.5 / math.sqrt(G * H)
    W_xh, W_hh = draw(G * H, I, scale=small), draw(G * H, H, scale=small)
    x, dh, h, a = draw(T, B, I), draw(T, B, H), draw(T + 1, B, H), draw(T, G, B, H)
    c, d, carry = draw(3, B, H)
    dx, dW_xh, dW_hh = np.empty_like(x), np.empty_like(W_xh), np.empty_like(W_hh)
    W_hx = W_xh.T.copy()
    recur, thin_h, product = _fastest(B, W_hh.T, 1)
    recur_back, thin_da, dh_next = _fastest(B, W_hh, G)
    product, dh_next = product.reshape(G, B, H), dh_next.reshape(B, H)
    K = min(T, -(-1024 // B))  # steps whose products are taken together
    da = draw(K, G, B, H)
    forward, backward = [], []
    news = h[1:, None] if cell == "rnn" else h[1:]  # in the shape in which they are written
    for t in range(0, T, K):
        s = slice(t, min(t + K, T))
        das = da[: s.stop - t]
        x_s, h_s, a_s, da_s, dx_s = (
            v.reshape(len(das) * B, -1) for v in (x[s], h[s], a[s], das, dx[s])
        )
        thin = [h_t.reshape(thin_h) for h_t in h[s]]
        forward.append((x_s, a_s, list(zip(h[s], thin, news[t:], a[s]))))
        thin = [da_t.reshape(thin_da) for da_t in das]
        steps = list(zip(a[s], das, thin, dh[s]))[::-1]
        backward.insert(0, (a[s], das, x_s, h_s, da_s.T, da_s, dx_s, steps))

    def run():
        for x_s, a_s, steps in forward:
            np.dot(x_s, W_hx, out=a_s)
            for h_old, thin, h_new, a_t in steps:
                recur(thin)
                np.add(a_t, product, out=a_t)
                np.tanh(a_t, out=h_new if cell == "rnn" else a_t)
                if cell == "lstm":  # c = f c + i g, h = o tanh(c)
                    np.multiply(a_t[0], c, out=c)
                    np.multiply(a_t[1], a_t[2], out=d)
                    np.add(c, d, out=c)
                    np.tanh(c, out=d)
                    np.multiply(a_t[3], d, out=h_new)
                elif cell == "gru":  # a product with r, then h = n + z (h - n)
                    np.multiply(a_t[0], a_t[2], out=d)
                    np.subtract(h_old, a_t[2], out=d)
                    np.multiply(a_t[1], d, out=d)
                    np.add(a_t[2], d, out=h_new)
        carry[...] = dh_next[...] = 0
        for a_s, das, x_s, h_s, da_s_t, da_s, dx_s, steps in backward:
            np.multiply(a_s, a_s, out=das)  # 1 - tanh^2
            np.subtract(1, das, out=das)
            for a_t, da_t, thin, dh_t in steps:
                np.add(dh_next if cell == "rnn" else carry, dh_t, out=carry)
                np.multiply(da_t, carry, out=da_t)
                recur_back(thin)
                if cell != "rnn":  # the gradient also passes by the matrix
                    np.multiply(a_t[1], carry, out=carry)
                    np.add(carry, dh_next, out=carry)
            np.dot(da_s_t, x_s, out=dW_xh)
            np.dot(da_s_t, h_s, out=dW_hh)
            np.dot(da_s, W_xh, out=dx_s)
            da_s.sum(0)

    return run


def _fastest(rows, W, parts):
    """Find the fastest way to multiply `rows` rows by W (K, N).

    A BLAS can be slow on few rows unless W is cut, into blocks of columns or into as many
    `parts` as there are gates along the sum, which are then multiplied one by one.

    Returns
    -------
    multiply : callable
        Takes the rows, in a shape of its own, and writes the product.
    shape : tuple of int
        That shape.
    out : numpy.ndarray
        Where the product is written, in an order of its own.
    """
    ways = []
    for p in {1, parts}:
        for width in {W.shape[1], 64, 32}:
            if W.shape[1] % width == 0:
                ways.append(_way(rows, W, p, width))

    def least_time(way):
        multiply, shape, _ = way
        thin = np.ones(shape, W.dtype)
        return min(timeit.repeat(lambda: multiply(thin), number=1, repeat=20))

    return min(ways, key=least_time)


def _way(rows, W, parts, width):
    K, N = W.shape
    if parts == 1 and width == N:
        out, W = np.empty((rows, N), W.dtype), W.copy()
        return lambda thin: np.dot(thin, W, out=out), (rows, K), out
    tiles = W.reshape(parts, K // parts, N // width, width).swapaxes(1, 2).copy()
    each = np.empty((parts, N // width, rows, width), W.dtype)
    shape = (parts, 1, rows, K // parts)
    if parts == 1:
        return lambda thin: np.matmul(thin, tiles, out=each), shape, each
    out = np.empty_like(each[0])

    def multiply(thin):
        np.matmul(thin, tiles, out=each)
        np.add.reduce(each, out=out)

    return multiply, shape, out
