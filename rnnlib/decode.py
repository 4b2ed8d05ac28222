r"""From scores to sequences: sampling, the likeliest next token, and beam search.

The last two are for any net with two methods. ``start(source, lengths)`` reads a padded batch of
sources and returns a state and a memory; ``step(tokens, state, memory)`` takes one token (B,)
for each and returns logits (B, V) and the next state. All tensors of both have B rows.

A finished translation y, EOS included, has the score

.. math:: \frac{\log p(y \mid x)}{|y|^\alpha},

without which long translations lose for their length alone: each further token costs.
"""

import torch

from rnnlib.data.vocabulary import BOS, EOS, PAD
from rnnlib.nets.precision import device_of, evaluating
from rnnlib.nets.state import select
from rnnlib.search import Hypothesis, Search, log_probabilities


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


def greedy(net, sources, *, longest=None, banned=(PAD, BOS), B=100, precision="float32"):
    """Translate by taking the likeliest token at each step.

    Parameters
    ----------
    net : rnnlib.nets.seq2seq.Seq2Seq
        Or any net with the same ``start`` and ``step``.
    sources : list of list of int
        Token ids with EOS, of any lengths, in any order.
    longest : int, optional
        Tokens of a translation, at most, EOS included: where the last one is due, it is EOS.
        If not given, twice as many as the source has, and 10.
    banned : tuple of int
        Tokens that are never taken.
    B : int
        Sources computed at once; changes time and memory, not the result.
    precision : {"float32", "bfloat16", "float16"}
        In which the net computes.

    Returns
    -------
    list of Hypothesis
        One for each source, in their order; the score is with alpha = 1.

    Raises
    ------
    ValueError
        If a source is empty or an option is out of range.
    """
    results = [None] * len(sources)
    with evaluating(net, precision):
        for index, source, lengths, limits in _batches(net, sources, longest, B):
            state, memory = net.start(source, lengths)
            tokens = torch.full_like(limits, BOS)
            total, found = 0.0, []
            alive = torch.ones_like(limits, dtype=torch.bool)
            for t in range(1, int(limits.max()) + 1):
                logits, state = net.step(tokens, state, memory)
                best, tokens = log_probabilities(logits, limits == t, banned).max(-1)
                total = total + best.masked_fill(~alive, 0)
                found.append(tokens)
                alive &= tokens != EOS
                if not alive.any():
                    break
            for k, ids, logp in zip(index, torch.stack(found, 1).tolist(), total.tolist()):
                ids = ids[: ids.index(EOS) + 1]
                results[k] = Hypothesis(ids, logp, logp / len(ids))
    return results


def beam(
    net,
    sources,
    *,
    width=5,
    alpha=1.0,
    n=1,
    longest=None,
    banned=(PAD, BOS),
    B=100,
    precision="float32",
):
    """Translate by keeping the `width` likeliest beginnings at each step.

    A beginning that comes to its end, by being among the likeliest with EOS, leaves the beam
    [1]_ and takes its place with it, so that after `width` of them the search is over. It is
    over before that when nothing still open can reach the score of the n-th best, which
    changes no result. With a width of 1 this is :func:`greedy`, and with one as large as the
    number of all translations it is exhaustive.

    Parameters
    ----------
    net, sources, longest, banned, B, precision
        As for :func:`greedy`.
    width : int
        Beginnings that are kept.
    alpha : float
        Power of the length in the score; 0 compares probabilities, 1 means per token.
        Wu et al. [2]_ found 0.6 to 0.7 best before they came to another formula.
    n : int
        Translations wanted for each source, 1..width.

    Returns
    -------
    list of list of Hypothesis
        For each source, in their order, up to n translations, the best score first.

    Raises
    ------
    ValueError
        If a source is empty or an option is out of range.

    References
    ----------
    .. [1] I. Sutskever, O. Vinyals, Q. V. Le, Sequence to sequence learning with neural
       networks, NeurIPS 2014, section 3.2.
    .. [2] Y. Wu et al., Google's neural machine translation system, 2016, section 7.
    """
    if not 1 <= n <= width:
        raise ValueError(f"expected 1 <= n <= width, got n={n} and width={width}")
    if not alpha >= 0:
        raise ValueError(f"expected alpha of at least 0, got {alpha}")
    results = [None] * len(sources)
    with evaluating(net, precision):
        for index, source, lengths, limits in _batches(net, sources, longest, B):
            search = Search(limits, width, alpha, n)
            state, memory = net.start(source, lengths)
            rows = torch.arange(len(source), device=source.device).repeat_interleave(width)
            state, memory = select(state, rows), select(memory, rows)
            while len(search.open):
                logits, state = net.step(search.last(), state, memory)
                rows, dropped = search.extend(log_probabilities(logits, search.due(), banned))
                state = select(state, rows)
                if dropped:
                    memory = select(memory, rows)
            for k, found in zip(index, search.found):
                results[k] = sorted(found, key=lambda h: -h.score)[:n]
    return results


def _batches(net, sources, longest, B):
    """Yield (index, source, lengths, limits) of sources of similar length."""
    if longest is not None and longest < 1:
        raise ValueError(f"expected longest of at least 1, got {longest}")
    for k, ids in enumerate(sources):
        if not len(ids):
            raise ValueError(f"source {k} is empty: even an empty sentence has its EOS")
    order = sorted(range(len(sources)), key=lambda k: len(sources[k]))
    device = device_of(net)
    for k in range(0, len(order), B):
        index = order[k : k + B]
        parts = [torch.as_tensor(sources[i], dtype=torch.int64) for i in index]
        lengths = torch.tensor([len(part) for part in parts])
        limits = 2 * lengths + 10 if longest is None else torch.full_like(lengths, longest)
        source = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=PAD)
        yield index, source.to(device), lengths, limits.to(device)
