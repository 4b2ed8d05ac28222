r"""The last layer and its loss in one, for large vocabularies.

With N tokens and a vocabulary of V, logits, their softmax and its gradient are (N, V) each, and
to write and read them takes longer than the matrix products. Here a few rows at a time are
computed, turned into a loss and at once into their gradient, while they are in the cache:

.. math::

    z = o W^\top + b, \qquad L_n = -(1 - \epsilon) \log p_n(y_n)
    - \frac{\epsilon}{V} \sum_v \log p_n(v), \qquad
    \frac{\partial L_n}{\partial z} = p_n - \frac{\epsilon}{V} - (1 - \epsilon) 1_{y_n}
"""

import torch
from torch.autograd.function import once_differentiable

_ROWS = 256


def linear_cross_entropy(o, W, b, target, smoothing=0.0, ignore=-100):
    """Mean cross-entropy of ``o @ W.T + b``, in nats, without the whole of these logits.

    The numbers are those of ``F.cross_entropy(F.linear(o, W, b), target)``. Gradients can be
    taken once. To leave padding out by `ignore`, not before, keeps the sizes few: oneDNN
    prepares, and keeps, a kernel for each size of a matrix product in bfloat16.

    Parameters
    ----------
    o : torch.Tensor
        (N, E), N at least 1.
    W, b : torch.Tensor
        Weights (V, E) and bias (V,) of the read-out.
    target : torch.Tensor
        int64, (N,), values 0..V-1, or `ignore`.
    smoothing : float
        This part of the labels' probability is spread over all V (Szegedy et al., 2016).
    ignore : int
        Tokens that do not count; at least one must.

    Returns
    -------
    torch.Tensor
        0-dimensional, float32, or float64 if the weights are.

    Raises
    ------
    ValueError
        If the shapes do not fit each other.
    """
    if o.ndim != 2 or target.shape != o.shape[:1] or not len(o):
        raise ValueError(
            f"expected o of shape (N, E) and a target (N,) with N >= 1, got {tuple(o.shape)} "
            f"and {tuple(target.shape)}: flatten batch and time first"
        )
    kind = o.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        o, W, b = o.to(dtype), W.to(dtype), b.to(dtype)
    with torch.autocast(kind, enabled=False):
        return _LinearCrossEntropy.apply(o, W, b, target, smoothing, ignore)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, o, W, b, target, smoothing, ignore):
        N, V = len(o), len(W)
        exact = torch.float64 if o.dtype == torch.float64 else torch.float32
        total, db, do = 0.0, 0.0, torch.empty_like(o)
        dW = torch.zeros_like(W, dtype=exact)
        counts = (target != ignore).to(exact)[:, None]
        share = counts / counts.sum()  # of each token in the mean
        for k in range(0, N, _ROWS):
            rows = slice(k, k + _ROWS)
            y = target[rows, None].clamp(min=0)
            logp = torch.addmm(b, o[rows], W.T).to(exact).log_softmax(1)
            right = logp.gather(1, y)
            losses = (1 - smoothing) * right + smoothing / V * logp.sum(1, keepdim=True)
            total = total - (share[rows] * losses).sum()
            d = logp.exp_().sub_(smoothing / V)
            d.scatter_add_(1, y, torch.full_like(right, smoothing - 1)).mul_(share[rows])
            db = db + d.sum(0)
            d = d.to(o.dtype)
            do[rows] = d @ W
            dW += d.T @ o[rows]
        ctx.save_for_backward(do, dW.to(W.dtype), db.to(b.dtype))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, dL):
        do, dW, db = ctx.saved_tensors
        return *(gradient * dL.to(gradient.dtype) for gradient in (do, dW, db)), None, None, None
