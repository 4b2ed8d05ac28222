r"""Connectionist temporal classification in NumPy: forward, backward, loss and gradient.

A net gives each of T frames a distribution :math:`y_t` over V ids, one of them the blank. A
path :math:`\pi` takes one id a frame; :func:`collapse` turns it into a target, and

.. math::

    p(\ell) = \sum_{\pi :\, \mathrm{collapse}(\pi) = \ell} \; \prod_{t=1}^T y_t(\pi_t)

:func:`brute_force` is this sum as it stands; :func:`forward` takes of the order of T L steps.
Arrays are time-major, logarithms natural, results float64. Equations count the states s of
the extended target :math:`\ell'` (:func:`extend`) from 1 and write :math:`j_s` for 1 where
s may be entered from s - 2: where :math:`\ell'_s` is neither the blank nor
:math:`\ell'_{s-2}`; else 0. Source: [Graves et al., 2006], with its equations' numbers.
"""

from itertools import groupby, product

import numpy as np


def collapse(path, blank=0):
    """Merge repeats, then drop blanks: the target that a path stands for, as a list.

    A path is a sequence of one id a frame, (T,); a string with its own blank will do, too.
    """
    if isinstance(path, np.ndarray):
        if path.ndim != 1:
            raise ValueError(f"expected a path (T,), got {path.shape}: take the argmax over ids")
        path = path.tolist()
    return [label for label, _ in groupby(path) if label != blank]


def extend(target, blank=0):
    """Set a blank before, between and after the labels: L labels become 2L + 1 states."""
    states = np.full(2 * len(target) + 1, blank)
    states[1::2] = target
    return states


def forward(log_p, target, blank=0):
    r"""Sum the probability of all beginnings of paths that have reached each state.

    .. math::

        \alpha_1(s) &= y_1(\ell'_s) \;\text{for}\; s \le 2, \quad\text{else}\; 0 \\
        \alpha_t(s) &= y_t(\ell'_s) \bigl(\alpha_{t-1}(s) + \alpha_{t-1}(s-1)
            + j_s\, \alpha_{t-1}(s-2)\bigr) \qquad (6) \\
        p(\ell) &= \alpha_T(2L+1) + \alpha_T(2L) \qquad (8)

    Parameters
    ----------
    log_p : array_like of float
        (T, V), as log_softmax gives them; minus infinity is allowed. Each frame's
        probabilities must sum to 1 within a percent: room for finite differences.
    target : array_like of int
        Labels (L,) in 0..V-1 without the blank; L may be 0.
    blank : int
        The blank's id.

    Returns
    -------
    log_alpha : numpy.ndarray
        (T, 2L + 1).
    log_total : float
        :math:`\log p(\ell)`; minus infinity if the target cannot fit, for it needs a frame
        for each label and one for the blank between two equal labels.

    Raises
    ------
    ValueError, TypeError
        If a shape or dtype does not fit, there is no frame, the target holds the blank or
        an id out of range, or the numbers are not log-probabilities.
    """
    log_y, jump = _lattice(log_p, target, blank)  # (T, S), (S,)
    T, S = log_y.shape
    log_alpha = np.full((T, 2 + S), -np.inf)  # two states of probability 0 before the first
    log_alpha[0, 2:4] = log_y[0, :2]
    for t in range(1, T):
        before = log_alpha[t - 1]
        total = np.logaddexp(before[2:], before[1:-1])  # from s and s - 1
        np.logaddexp(total, before[:-2], out=total, where=jump)  # and, where j_s, from s - 2
        log_alpha[t, 2:] = log_y[t] + total
    return log_alpha[:, 2:], float(np.logaddexp.reduce(log_alpha[-1, -2:]))


def backward(log_p, target, blank=0):
    r"""Sum the probability of all ends of paths from each state on, its own frame included.

    .. math::

        \beta_T(s) &= y_T(\ell'_s) \;\text{for}\; s \ge 2L, \quad\text{else}\; 0 \\
        \beta_t(s) &= y_t(\ell'_s) \bigl(\beta_{t+1}(s) + \beta_{t+1}(s+1)
            + j_{s+2}\, \beta_{t+1}(s+2)\bigr) \qquad (10) \\
        p(\ell) &= \beta_1(1) + \beta_1(2)

    As :func:`forward` in all else, with log beta, (T, 2L + 1), in place of log alpha.
    """
    log_y, jump = _lattice(log_p, target, blank)  # (T, S), (S,)
    T, S = log_y.shape
    jump = np.append(jump, [False, False])[2:]  # at s: j_{s+2}
    log_beta = np.full((T, S + 2), -np.inf)  # two states of probability 0 after the last
    log_beta[-1, :S][-2:] = log_y[-1, -2:]
    for t in reversed(range(T - 1)):
        after = log_beta[t + 1]
        total = np.logaddexp(after[:-2], after[1:-1])  # to s and s + 1
        np.logaddexp(total, after[2:], out=total, where=jump)  # and, where j_{s+2}, to s + 2
        log_beta[t, :-2] = log_y[t] + total
    return log_beta[:, :-2], float(np.logaddexp.reduce(log_beta[0, :2]))


def occupancy(log_p, target, blank=0):
    r"""Posterior of each state at each frame, (T, 2L + 1), rows summing to 1: the alignment.

    .. math:: \gamma_t(s) = \frac{\alpha_t(s)\, \beta_t(s)}{y_t(\ell'_s)\, p(\ell)}

    The frame's own probability is in both factors, hence the division. Parameters and
    errors are those of :func:`forward`; a target of probability 0 is a ValueError, too.
    """
    gamma, log_total = _posterior(log_p, target, blank)
    if log_total == -np.inf:
        got = f"got {len(target)} labels in {len(gamma)} frames: too few frames?"
        raise ValueError(f"expected a target of probability above 0, {got}")
    return gamma


def loss(log_p, targets, input_lengths, target_lengths, blank=0):
    r"""Minus log p of each target, and two gradients: for the logits, and for log_p.

    For logits :math:`u_t`, :math:`y_t = \mathrm{softmax}(u_t)`, and the :func:`occupancy`,

    .. math::

        \frac{\partial L}{\partial \log y_t(k)} = -\sum_{s :\, \ell'_s = k} \gamma_t(s), \qquad
        \frac{\partial L}{\partial u_t(k)}
            = y_t(k) - \sum_{s :\, \ell'_s = k} \gamma_t(s) \qquad (16)

    ``torch.nn.functional.ctc_loss`` hands the second, not the first, to its log-probabilities.
    Its rows sum to 0, so log_softmax passes it on unchanged: the logits' gradient is right.

    Errors are those of :func:`forward`, and for a length out of range.

    Parameters
    ----------
    log_p : array_like of float
        (T, B, V), as for :func:`forward`; frames past a sequence's length may hold anything.
    targets : array_like of int
        (B, S), padded with anything.
    input_lengths, target_lengths : array_like of int
        (B,), in 1..T and in 0..S.
    blank : int
        The blank's id.

    Returns
    -------
    losses : numpy.ndarray
        (B,), in nats for each sequence. Where the target cannot fit, plus infinity, with
        gradients of 0: torch's ``zero_infinity`` for the gradient, but not for the loss.
    dlogits : numpy.ndarray
        Gradient of the sum of the losses for the logits, (T, B, V); 0 past the lengths.
    dlog_p : numpy.ndarray
        The same for log_p, each entry moved by itself, (T, B, V).
    """
    log_p, targets = np.asarray(log_p), np.asarray(targets)
    if log_p.ndim != 3 or 0 in log_p.shape:
        raise ValueError(f"expected log_p of shape (T, B, V), all above 0, got {log_p.shape}")
    T, B, V = log_p.shape
    if targets.ndim != 2 or len(targets) != B:
        hint = "not padded, or log_p batch-first?"
        raise ValueError(f"expected targets of shape (B={B}, S), got {targets.shape}: {hint}")
    input_lengths = _lengths("input_lengths", input_lengths, B, 1, T)
    target_lengths = _lengths("target_lengths", target_lengths, B, 0, targets.shape[1])
    losses, dlogits, dlog_p = np.empty(B), np.zeros((T, B, V)), np.zeros((T, B, V))
    for b, (frames, labels) in enumerate(zip(input_lengths, target_lengths)):
        log_y, target = _check(log_p[:frames, b], targets[b, :labels], blank, f" in sequence {b}")
        gamma, log_total = _posterior(log_y, target, blank)
        losses[b] = -log_total
        if log_total > -np.inf:
            one_hot = extend(target, blank)[:, None] == np.arange(V)  # (2L + 1, V)
            dlog_p[:frames, b] -= gamma @ one_hot
            dlogits[:frames, b] = np.exp(log_y) + dlog_p[:frames, b]
    return losses, dlogits, dlog_p


def brute_force(log_p, target, blank=0):
    """Log p(target) as the sum over all V^T paths, at most a million: a referee for the rest."""
    log_p, target = _check(log_p, target, blank)
    T, V = log_p.shape
    if V**T > 10**6:
        raise ValueError(f"expected at most a million paths, got {V}^{T}: use forward")
    paths = (p for p in product(range(V), repeat=T) if collapse(p, blank) == target.tolist())
    return float(np.logaddexp.reduce([log_p[range(T), path].sum() for path in paths]))


def _posterior(log_p, target, blank):
    """Return the occupancy, zeros if the target has probability 0, and log p(target)."""
    log_alpha, log_total = forward(log_p, target, blank)
    if log_total == -np.inf:
        return np.zeros_like(log_alpha), log_total
    log_beta, _ = backward(log_p, target, blank)
    log_y, _ = _lattice(log_p, target, blank)
    divisor = np.where(log_y > -np.inf, log_y, 0)  # where y is 0, so are alpha and beta
    return np.exp(log_alpha + log_beta - divisor - log_total), log_total


def _lattice(log_p, target, blank):
    """Check; return log y of each state at each frame, (T, 2L + 1), and j, (2L + 1,)."""
    log_p, target = _check(log_p, target, blank)
    states = extend(target, blank)
    jump = np.append([False, False], (states[2:] != blank) & (states[2:] != states[:-2]))
    return log_p[:, states], jump[: len(states)]


def _check(log_p, target, blank, where=""):
    """Return log_p in float64 and the target's integers, or say what is wrong."""
    log_p, target = np.asarray(log_p), np.asarray(target)
    if log_p.ndim != 2 or 0 in log_p.shape:
        hint = "no frame, or a batch, whose sequences are log_p[:, b]?"
        raise ValueError(f"expected log_p of shape (T, V), got {log_p.shape}: {hint}")
    V = log_p.shape[1]
    if not np.issubdtype(log_p.dtype, np.floating):
        raise TypeError(f"expected floating-point log-probabilities, got {log_p.dtype}")
    if target.ndim != 1 or (target.size and not np.issubdtype(target.dtype, np.integer)):
        raise TypeError(f"expected integer ids (L,), got {target.dtype} {target.shape}{where}")
    if not 0 <= blank < V:
        raise ValueError(f"expected the blank in 0..{V - 1}, got {blank}")
    wrong = (target < 0) | (target >= V) | (target == blank)
    if wrong.any():
        got = f"got {target[wrong][0]}{where}: padding, or a path that is not collapsed?"
        raise ValueError(f"expected labels in 0..{V - 1} except the blank, {blank}, {got}")
    with np.errstate(invalid="ignore"):  # the comparison below finds what is not a number
        sums, columns = (np.logaddexp.reduce(log_p, axis, np.float64) for axis in (1, 0))
    if not (right := np.abs(sums) < 0.01).all():
        t, hint = np.argmin(right), "scores without log_softmax?"
        if np.abs(log_p.sum(axis=1) - 1).max() < 0.01:
            hint = "probabilities in place of their logarithms?"
        elif np.abs(columns).max() < 0.01:
            hint = "log_softmax over the wrong axis, or (V, T)?"
        got = f"got {sums[t]:.3g} at frame {t}{where}: {hint}"
        raise ValueError(f"expected log-probabilities, whose log-sum-exp is 0, {got}")
    return log_p.astype(np.float64), target.astype(np.intp)


def _lengths(name, lengths, B, low, high):
    """Return the lengths as an array, or say what is wrong."""
    n = np.asarray(lengths)
    if n.shape != (B,) or n.dtype.kind not in "iu" or n.min() < low or n.max() > high:
        raise ValueError(f"expected B={B} integer {name} in {low}..{high}, got {n}: batch-first?")
    return n
