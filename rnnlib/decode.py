"""From scores to sequences: sampling."""

import torch

from rnnlib.nets.precision import device_of, evaluating


def sample(net, prompt, n, *, temperature=1.0, top_k=None, top_p=None, generator=None):
    """Continue a prompt by drawing one token after another from the net.

    Parameters
    ----------
    net : rnnlib.nets.language_model.LanguageModel
        Or any net that maps ids (B, T) and a state to logits (B, T, V) and a state.
    prompt : array_like of int
        (T,) for one sequence, (B, T) for several; T at least 1.
    n : int
        How many tokens to draw, at least 0.
    temperature : float
        Divides the logits; 0 takes the likeliest token each time.
    top_k : int, optional
        Draw among the k likeliest tokens only [1]_.
    top_p : float, optional
        Draw among the fewest likeliest tokens whose probabilities sum to p or more [2]_;
        after `top_k`, if both are given.
    generator : torch.Generator, optional
        On the CPU, where the drawing is done; PyTorch's global one if not given.

    Returns
    -------
    torch.Tensor
        int64 on the CPU, (n,) or (B, n): the new tokens alone.

    Raises
    ------
    ValueError
        If the prompt is empty or an option is out of range.

    References
    ----------
    .. [1] A. Fan, M. Lewis, Y. Dauphin, Hierarchical neural story generation, ACL 2018.
    .. [2] A. Holtzman et al., The curious case of neural text degeneration, ICLR 2020.
    """
    ids = torch.as_tensor(prompt)
    one = ids.ndim == 1
    ids = ids[None] if one else ids
    if ids.ndim != 2 or not ids.shape[1]:
        raise ValueError(f"expected a prompt (T,) or (B, T) with T >= 1, got {tuple(ids.shape)}")
    if n < 0:
        raise ValueError(f"expected n of at least 0, got {n}")
    drawn, state = [], None
    ids = ids.long().to(device_of(net))
    with evaluating(net):
        for _ in range(n):
            logits, state = net(ids, state)
            p = probabilities(logits[:, -1].float().cpu(), temperature, top_k, top_p)
            ids = torch.multinomial(p, 1, generator=generator)  # (B, 1)
            drawn.append(ids)
            ids = ids.to(device_of(net))
    new = torch.cat(drawn, 1) if drawn else torch.empty(len(ids), 0, dtype=torch.int64)
    return new[0] if one else new


def probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """Turn logits into the distribution that :func:`sample` draws from.

    Parameters
    ----------
    logits : torch.Tensor
        (..., V).
    temperature, top_k, top_p : float, int, float
        As for :func:`sample`.

    Returns
    -------
    torch.Tensor
        (..., V), sums to 1.

    Raises
    ------
    ValueError
        If an option is out of range.
    """
    V = logits.shape[-1]
    if not temperature >= 0:
        raise ValueError(f"expected a temperature of at least 0, got {temperature}")
    if top_k is not None and not 1 <= top_k <= V:
        raise ValueError(f"expected top_k in 1..V={V}, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"expected top_p above 0 and at most 1, got {top_p}")
    if temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    p = torch.softmax(logits / temperature, -1)
    order = p.argsort(dim=-1, descending=True, stable=True)
    ranked = p.gather(-1, order)  # likeliest first
    if top_k is not None:
        ranked[..., top_k:] = 0
        ranked = ranked / ranked.sum(-1, keepdim=True)
    if top_p is not None:
        before = ranked.cumsum(-1) - ranked  # probability of all that are likelier
        ranked = ranked.masked_fill(before >= top_p, 0)
    return torch.zeros_like(p).scatter_(-1, order, ranked / ranked.sum(-1, keepdim=True))
