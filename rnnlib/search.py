"""The state of a beam search, for :func:`rnnlib.decode.beam`."""

from dataclasses import dataclass

import torch

from rnnlib.data.vocabulary import BOS, EOS


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation.

    Attributes
    ----------
    ids : list of int
        Its tokens, EOS last.
    log_probability : float
        Of the whole, in nats, given the source.
    score : float
        That, divided by the number of ids to the power of alpha.
    """

    ids: list
    log_probability: float
    score: float


class Search:
    """The beams of several sources: K beginnings (b, K) for each of the b that are open.

    Parameters
    ----------
    limits : torch.Tensor
        int64, (B,): tokens of each source's translation, at most.
    K : int
        Beginnings that are kept.
    alpha : float
        Power of the length in the score.
    n : int
        Translations wanted.

    Attributes
    ----------
    open : torch.Tensor
        int64, (b,): which sources are not decided yet.
    found : list of list of Hypothesis
        The finished translations of each source, in the order in which they ended.
    """

    def __init__(self, limits, K, alpha, n):
        B, device = len(limits), limits.device
        self.K, self.alpha, self.n, self.limits = K, alpha, n, limits
        self.open = torch.arange(B, device=device)  # (b,): which sources these are
        self.places = torch.full((B,), K, device=device)  # not yet taken by finished ones
        self.totals = torch.full((B, K), -torch.inf, device=device)
        self.totals[:, 0] = 0  # at first there is one beginning, the empty one
        self.tokens = torch.full((B, K, 1), BOS, device=device)
        self.found = [[] for _ in range(B)]

    def last(self):
        """The newest tokens, (b * K,)."""
        return self.tokens[:, :, -1].flatten()

    def due(self):
        """Where the next token must be EOS: bool, (b * K,)."""
        return (self.limits[self.open] == self.tokens.shape[2]).repeat_interleave(self.K)

    def extend(self, log_p):
        """Extend all by one token, log_p (b * K, V); return the rows that go on, and if some end.

        The rows are int64, (b' * K,), for each new beginning the one that it extends.
        """
        K, V = self.K, log_p.shape[1]
        totals = self.totals.to(log_p.dtype)[:, :, None] + log_p.view(-1, K, V)
        totals, best = totals.flatten(1).topk(K)  # (b, K)
        origin, token = best // V, best % V
        within = torch.arange(K, device=best.device) < self.places[:, None]
        totals = totals.masked_fill(~within, -torch.inf)
        origins = origin[..., None].expand_as(self.tokens)
        tokens = torch.cat([self.tokens.gather(1, origins), token[..., None]], 2)
        ended = (token == EOS) & totals.isfinite()
        self._keep(tokens, totals, ended)
        self.places -= ended.sum(1)
        totals = totals.masked_fill(ended, -torch.inf)
        on = torch.tensor(list(self._undecided(totals)), device=best.device).nonzero()[:, 0]
        dropped = len(on) < len(self.open)
        self.open, self.places = self.open[on], self.places[on]
        self.totals, self.tokens = totals[on], tokens[on]
        return (on[:, None] * K + origin[on]).flatten(), dropped

    def _keep(self, tokens, totals, ended):
        for b, k in ended.nonzero().tolist():
            ids, logp = tokens[b, k, 1:].tolist(), float(totals[b, k])
            hypothesis = Hypothesis(ids, logp, logp / len(ids) ** self.alpha)
            self.found[self.open[b]].append(hypothesis)

    def _undecided(self, totals):
        """Whether some open beginning could still reach the score of the n-th best."""
        longest = self.limits[self.open].double() ** self.alpha
        reach = (totals.amax(1) / longest).tolist()  # log p only falls, the length is limited
        for b, best in zip(self.open.tolist(), reach):
            scores = sorted((h.score for h in self.found[b]), reverse=True)
            bar = scores[self.n - 1] if len(scores) >= self.n else -torch.inf
            yield best > bar


def log_probabilities(logits, due, banned):
    """Turn logits into what a search adds up.

    Parameters
    ----------
    logits : torch.Tensor
        (R, V).
    due : torch.Tensor
        bool, (R,): where the translation must end now, all but EOS become impossible.
    banned : tuple of int
        Tokens that are impossible everywhere. The others keep their probability, which then
        sums to less than 1.

    Returns
    -------
    torch.Tensor
        (R, V), at least float32.
    """
    exact = torch.float64 if logits.dtype == torch.float64 else torch.float32
    log_p = logits.to(exact).log_softmax(-1)
    log_p[:, [k for k in banned if k < log_p.shape[1]]] = -torch.inf
    ends = torch.arange(log_p.shape[1], device=log_p.device) == EOS
    return log_p.masked_fill(due[:, None] & ~ends, -torch.inf)
