"""How good a net is, in the field's units."""

import torch
from torch.nn import functional as F

from rnnlib.data.batches import Blocks
from rnnlib.nets.precision import device_of, evaluating


def nats_stream(net, ids, *, precision="float32", chunk=2048):
    """Mean loss over a whole text read as one stream, its state carried to the end.

    Parameters
    ----------
    net : rnnlib.nets.language_model.LanguageModel
        Or any net that returns logits and a state.
    ids : array_like of int
        Shape (N,), N at least 2: the first token is given, all others are predicted.
    precision : {"float32", "bfloat16", "float16"}
        In which the net computes; the losses are summed in float64.
    chunk : int
        Tokens computed at once; changes memory, not the result.

    Returns
    -------
    float
        Nats for each token.
    """
    ids = torch.as_tensor(ids, device=device_of(net)).long()
    if ids.ndim != 1 or len(ids) < 2:
        raise ValueError(f"expected at least 2 ids in one dimension, got {tuple(ids.shape)}")
    total, state = 0.0, None
    with evaluating(net, precision):
        for k in range(0, len(ids) - 1, chunk):
            window = ids[None, k : k + chunk + 1]
            logits, state = net(window[:, :-1], state)
            total += _sum_loss(logits, window[:, 1:])
    return total / (len(ids) - 1)


def nats_blocks(net, ids, T=256, *, n=512, B=64, seed=0, precision="float32"):
    """Mean loss over random blocks, each read from a zero state.

    Parameters
    ----------
    net : rnnlib.nets.language_model.LanguageModel
        Or any net that returns logits and a state.
    ids : array_like of int
        Shape (N,), N at least T + 1.
    T : int
        Length of a block.
    n : int
        Number of blocks, rounded up to a multiple of B.
    B : int
        Blocks computed at once.
    seed : int
        Of the blocks' places.
    precision : {"float32", "bfloat16", "float16"}
        In which the net computes; the losses are summed in float64.

    Returns
    -------
    float
        Nats for each token.
    """
    blocks = Blocks(ids, B, T, seed=seed, device=device_of(net))
    batches = -(-n // B)
    total = 0.0
    with evaluating(net, precision):
        for step in range(batches):
            x, y, _ = blocks(step)
            total += _sum_loss(net(x)[0], y)
    return total / (batches * B * T)


def _sum_loss(logits, targets):
    loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return loss.double().sum().item()
