"""Optimisers that update dictionaries of NumPy arrays in place."""

import numpy as np


class SGD:
    """Plain gradient descent: ``p -= lr * g``."""

    def __init__(self, lr):
        self.lr = lr

    def step(self, params, grads):
        """Update every entry of params that grads names, in place."""
        for name, g in grads.items():
            params[name] -= self.lr * g


class Adam:
    """Adam with bias correction [Kingma and Ba, 2015], algorithm 1.

    Parameters
    ----------
    lr : float
        Step size; may be changed between steps for a schedule.
    betas : tuple of float
        Decay of the running means of the gradient and of its square.
    eps : float
        Added to the root in the denominator.
    """

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        self.lr, self.betas, self.eps = lr, betas, eps
        self.t = 0
        self.m, self.v = {}, {}

    def step(self, params, grads):
        """Update every entry of params that grads names, in place."""
        self.t += 1
        b1, b2 = self.betas
        scale = self.lr * np.sqrt(1 - b2**self.t) / (1 - b1**self.t)
        eps = self.eps * np.sqrt(1 - b2**self.t)
        for name, g in grads.items():
            m = self.m.setdefault(name, np.zeros_like(g))
            v = self.v.setdefault(name, np.zeros_like(g))
            m += (1 - b1) * (g - m)
            v += (1 - b2) * (g * g - v)
            params[name] -= scale * m / (np.sqrt(v) + eps)


def clip_by_norm(grads, max_norm):
    """Rescale all gradients together so that their norm is at most max_norm.

    Source: [Pascanu et al., 2013], algorithm 1. Returns the norm before clipping.

    Raises
    ------
    FloatingPointError
        If the norm is not finite; the gradients are left as they were.
    """
    norm = float(np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in grads.values())))
    if not np.isfinite(norm):
        bad = [name for name, g in grads.items() if not np.isfinite(g).all()]
        raise FloatingPointError(f"the gradient of {', '.join(bad)} is not finite")
    if norm > max_norm:
        for g in grads.values():
            g *= max_norm / norm
    return norm
