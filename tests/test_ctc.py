"""CTC: against all paths written out, against torch, and what bad input says."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlib.scratch import ctc
from rnnlib.scratch.gradcheck import check_gradients


def same(found, expected, tolerance=1e-10):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def log_softmax(logits):
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def frames(seed, *shape):
    return log_softmax(2 * np.random.default_rng(seed).standard_normal(shape))


def needed(target):
    return len(target) + sum(a == b for a, b in zip(target, target[1:]))


@st.composite
def cases(draw, B=1, T_max=5):
    """A blank, log-probabilities (T, B, V), targets and how many frames each may use."""
    V, T = draw(st.integers(2, 4)), draw(st.integers(1, T_max))
    blank = draw(st.integers(0, V - 1))
    label = st.sampled_from([k for k in range(V) if k != blank])
    targets = draw(st.lists(st.lists(label, max_size=4), min_size=B, max_size=B))
    lengths = []
    for n in map(needed, targets):  # any length, or exactly the frames needed, or one too few
        lengths.append(min(max(draw(st.sampled_from([T, n, n - 1]) | st.integers(1, T)), 1), T))
    return blank, frames(draw(st.integers(0, 2**32 - 1)), T, B, V), targets, lengths


def padded(targets):
    S = max(map(len, targets))
    return np.array([t + [-9] * (S - len(t)) for t in targets], int).reshape(len(targets), S)


def torch_ctc(logits, targets, lengths, blank, zero_infinity=False):
    """Give the loss, the logits' gradient, and what torch leaves with its log-probabilities."""
    q = torch.tensor(logits, requires_grad=True)
    log_p = q.log_softmax(-1)
    log_p.retain_grad()
    rest = [torch.tensor(a) for a in (padded(targets), lengths, list(map(len, targets)))]
    each = torch.nn.functional.ctc_loss(log_p, *rest, blank, "none", zero_infinity)
    each.sum().backward()
    return each.detach().numpy(), q.grad.numpy(), log_p.grad.numpy()


def test_collapse():
    for path, target in (("--", ""), ("aa", "a"), ("a-a", "aa"), ("-aab--bc-", "abbc"), ("", "")):
        assert ctc.collapse(path, blank="-") == list(target)
        ids = np.array(["-abc".index(k) for k in path], int)
        assert ctc.collapse(ids) == ["-abc".index(k) for k in target]


def paths_of(log_p, target, blank):
    T, V = log_p.shape
    for path in product(range(V), repeat=T):
        if ctc.collapse(path, blank) == target:
            new = [k != blank and k != before for k, before in zip(path, (None, *path))]
            states = 2 * np.cumsum(new) - (np.array(path) != blank)
            yield path, np.exp(sum(log_p[t, k] for t, k in enumerate(path))), states


@settings(max_examples=80, deadline=None)
@given(cases())
def test_everything_equals_the_sum_over_all_paths(case):
    blank, log_p, (target,), (T,) = case
    args = log_p[:T, 0], target, blank
    total, gamma = 0, np.zeros((T, 2 * len(target) + 1))
    for path, p, states in paths_of(*args):
        assert ctc.extend(target, blank)[states].tolist() == list(path)
        total += p
        gamma[range(T), states] += p
    assert (total > 0) == (needed(target) <= T)
    for log_total in (ctc.brute_force(*args), ctc.forward(*args)[1], ctc.backward(*args)[1]):
        same(log_total, np.log(total) if total else -np.inf)
    if total:
        same(ctc.occupancy(*args), gamma / total)
        same(ctc.occupancy(*args).sum(axis=1), 1)


@settings(max_examples=40, deadline=None)
@given(cases(T_max=4))
def test_alpha_and_beta_are_what_the_paper_defines(case):
    blank, log_p, (target,), (T,) = case
    log_alpha, _ = ctc.forward(log_p := log_p[:T, 0], target, blank)
    # Two states end what collapses to the first n labels: label n, and the blank after it.
    for t, n in product(range(T), range(len(target) + 1)):
        both = np.logaddexp.reduce(log_alpha[t, max(2 * n - 1, 0) : 2 * n + 1])
        same(both, ctc.brute_force(log_p[: t + 1], target[:n], blank))
    turned, _ = ctc.forward(log_p[::-1], target[::-1], blank)  # time and target run back
    same(ctc.backward(log_p, target, blank)[0], turned[::-1, ::-1])


@settings(max_examples=80, deadline=None)
@given(cases(B=3, T_max=9))
def test_loss_and_gradients_equal_those_of_torch(case):
    blank, log_p, targets, lengths = case
    junk = log_p.copy()
    for b, n in enumerate(lengths):
        junk[n:, b] = np.nan  # past its length nothing of a sequence is read
    rest = padded(targets), lengths, [len(t) for t in targets], blank
    losses, dlogits, dlog_p = ctc.loss(junk, *rest)
    same(losses, torch_ctc(log_p, targets, lengths, blank)[0])
    cannot_fit = [n < needed(t) for n, t in zip(lengths, targets)]
    assert (losses == np.inf).tolist() == cannot_fit
    same(np.stack([dlogits, dlog_p])[:, :, cannot_fit], 0, 0)
    _, expected, left = torch_ctc(log_p, targets, lengths, blank, zero_infinity=True)
    same(dlogits, expected)
    same(dlogits, left)  # torch leaves this with log_p; log_p's derivative gives it, too:
    same(dlogits, dlog_p - np.exp(log_p) * dlog_p.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("blank", [0, 4])
def test_gradients_agree_with_central_differences(blank):
    a = {"logits": frames(blank, 6, 3, 5) + 1, "log_p": frames(blank + 1, 6, 3, 5)}
    rest = [[1, 1, 3], [3, 1, 1], [1, 3, 1]], [6, 4, 5], [3, 2, 0], blank
    dlogits = ctc.loss(log_softmax(a["logits"]), *rest)[1]
    grads = {"logits": dlogits, "log_p": ctc.loss(a["log_p"], *rest)[2]}

    def both():
        return sum(ctc.loss(p, *rest)[0].sum() for p in (log_softmax(a["logits"]), a["log_p"]))

    assert max(check_gradients(both, a, grads, eps=1e-3).values()) < 1e-7


def test_long_sequences_do_not_underflow():
    log_p, target = frames(0, 2000, 1, 12), (1 + np.arange(400) ** 2 % 11).tolist()
    losses, dlogits, _ = ctc.loss(log_p, [target], [2000], [400])
    assert np.exp(-losses[0]) == 0  # the probability itself is below every float64
    expected, gradient, _ = torch_ctc(log_p, [target], [2000], 0)
    same(losses, expected)
    same(dlogits, gradient)
    same(ctc.occupancy(log_p[:, 0], target).sum(axis=1), 1)


def test_empty_target_has_one_path():
    for T in (1, 6):
        log_p = frames(T, T, 1, 3)
        losses, _, dlog_p = ctc.loss(log_p, np.zeros((1, 0)), [T], [0], blank=1)
        same(losses, -log_p[:, 0, 1].sum(), 1e-14)
        same(dlog_p[:, 0], -np.eye(3)[[1] * T], 1e-14)


def test_probabilities_of_zero():
    p = np.array([[0.5, 0.5, 0], [0, 1, 0], [0.25, 0.25, 0.5]])
    log_p = np.log(p, out=np.full((3, 3), -np.inf), where=p > 0)[:, None].repeat(2, 1)
    losses, dlogits, dlog_p = ctc.loss(log_p, [[1, 2], [2, 0]], [3, 3], [2, 1])
    same(losses, [np.log(2), np.inf])
    same(dlog_p[:, 0], [[-0.5, -0.5, 0], [0, -1, 0], [0, 0, -1]])
    same(dlogits, np.stack([p + dlog_p[:, 0], 0 * p], axis=1))


P, PB, ONES = frames(0, 4, 3), frames(0, 4, 2, 3), ([[1], [2]], [4, 4], [1, 1])
BAD = [
    (ctc.forward, (np.exp(P), [1]), "at frame 0: probabilities in place of their log"),
    (ctc.forward, (P + 1, [1]), "log-sum-exp is 0, got 1 at frame 0: scores without"),
    (ctc.forward, (P.T, [1]), r"wrong axis, or \(V, T\)"),
    (ctc.forward, (P * [[1], [1], [np.nan], [1]], [1]), "got nan at frame 2"),
    (ctc.forward, (PB, [1]), r"a batch, whose sequences are log_p\[:, b\]"),
    (ctc.forward, (P[:0], [1]), r"got \(0, 3\): no frame"),
    (ctc.forward, (np.zeros((4, 3), int), [1]), "floating-point log-probabilities, got int"),
    (ctc.forward, (P, [1, 0, 2]), "except the blank, 0, got 0: padding, or a path"),
    (ctc.forward, (P, [1, -1]), "labels in 0..2 except the blank, 0, got -1"),
    (ctc.forward, (P, [1.0]), r"expected integer ids \(L,\), got float64"),
    (ctc.forward, (P, [[1]]), r"got int64 \(1, 1\)"),
    (ctc.forward, (P, [1], 3), "expected the blank in 0..2, got 3"),
    (ctc.occupancy, (P, [1, 1, 1]), "above 0, got 3 labels in 4 frames: too few frames"),
    (ctc.brute_force, (frames(0, 13, 3), [1]), r"at most a million paths, got 3\^13: use"),
    (ctc.collapse, (P,), "take the argmax over ids"),
    (ctc.loss, (P, *ONES), r"expected log_p of shape \(T, B, V\), .* got \(4, 3\)"),
    (ctc.loss, (PB.swapaxes(0, 1), *ONES), r"\(B=4, S\), got \(2, 1\): .*batch-first"),
    (ctc.loss, (PB, [1, 2], [4, 4], [1, 1]), "not padded"),
    (ctc.loss, (PB, ONES[0], [4, 5], [1, 1]), r"integer input_lengths in 1..4, got \[4 5\]"),
    (ctc.loss, (PB, ONES[0], [4], [1, 1]), r"expected B=2 .*, got \[4\]: batch-first"),
    (ctc.loss, (PB, ONES[0], [4.0, 4.0], [1, 1]), "integer input_lengths"),
    (ctc.loss, (PB, ONES[0], [4, 4], [1, -1]), "target_lengths in 0..1"),
    (ctc.loss, (PB, [[1], [0]], [4, 4], [1, 1]), "got 0 in sequence 1: padding"),
]


@pytest.mark.parametrize(("call", "args", "message"), BAD)
def test_names_what_is_wrong(call, args, message):
    others = ctc.backward, ctc.occupancy, ctc.brute_force
    for each in (call, *others) if call is ctc.forward else (call,):
        with pytest.raises((ValueError, TypeError), match=message):
            each(*args)
