"""Batches as pure functions of the step, so that a resumed run sees the same ones.

Each class here is called with a step and returns tensors; no call depends on those before.
The order of the data is drawn from the seed and the step alone.
"""

import numpy as np
import torch


class Streams:
    """A long sequence cut into B streams that are read side by side, T tokens a step.

    Each step shows the next T tokens of each stream, and the tokens one further as targets.
    The state is meant to be carried from step to step. The first step enters the streams
    where the seed says; a stream that ends starts again at its beginning, with a reset.

    Parameters
    ----------
    ids : array_like of int
        Shape (N,), N at least B (T + 1).
    B, T : int
        Streams, and tokens a step.
    reset : float
        With this probability a stream's state is to be set to zero before a step.
    seed : int
        Of the place where the streams are entered, and of the resets.
    device : str or torch.device
        Where the batches are wanted.
    """

    def __init__(self, ids, B, T, *, reset=0.0, seed=0, device="cpu"):
        ids = _tokens(ids, B * (T + 1), f"B={B} streams of at least T + 1 = {T + 1}")
        if not 0 <= reset <= 1:
            raise ValueError(f"expected a reset probability in 0..1, got {reset}")
        self.B, self.T, self.reset, self.seed = B, T, reset, seed
        n = len(ids) // B
        self.streams = ids[: n * B].view(B, n).to(device)  # (B, n)
        self.windows = (n - 1) // T
        self.first = int(np.random.default_rng(seed).integers(self.windows))

    def __call__(self, step):
        """Return (ids, targets, reset): int64 (B, T), int64 (B, T) and bool (B,)."""
        window = (self.first + step) % self.windows
        k = window * self.T
        block = self.streams[:, k : k + self.T + 1]
        if step == 0 or window == 0:
            reset = np.ones(self.B, bool)
        else:
            reset = np.random.default_rng([self.seed, step]).random(self.B) < self.reset
        reset = torch.from_numpy(reset).to(self.streams.device)
        return block[:, :-1], block[:, 1:], reset


class Blocks:
    """Random windows of T tokens, each read from a zero state.

    Parameters
    ----------
    ids : array_like of int
        Shape (N,), N at least T + 1.
    B, T : int
        Windows a step, and their length.
    seed : int
        Of the windows' places.
    device : str or torch.device
        Where the batches are wanted.
    """

    def __init__(self, ids, B, T, *, seed=0, device="cpu"):
        self.ids = _tokens(ids, T + 1, f"a window of T + 1 = {T + 1}").to(device)
        self.B, self.T, self.seed = B, T, seed

    def __call__(self, step):
        """Return (ids, targets, reset): int64 (B, T), int64 (B, T) and bool (B,), all True."""
        rng = np.random.default_rng([self.seed, step])
        starts = rng.integers(len(self.ids) - self.T, size=self.B)
        index = torch.from_numpy(starts[:, None] + np.arange(self.T + 1))  # (B, T + 1)
        block = self.ids[index.to(self.ids.device)]
        reset = torch.ones(self.B, dtype=torch.bool, device=self.ids.device)
        return block[:, :-1], block[:, 1:], reset


class Padded:
    """Sequences of unequal length with labels, in batches padded with zeros.

    Every pass over the data has an order of its own; its last batch may be smaller.

    Parameters
    ----------
    sequences : list of array_like
        Each (T_i, I), floats; or (T_i,), integers.
    labels : array_like of int
        Shape (N,).
    B : int
        Sequences a batch, at most.
    seed : int
        Of the order.
    device : str or torch.device
        Where the batches are wanted; the lengths stay on the CPU, as packing needs them.
    bucketed : bool
        Put sequences of similar length together, which pads less: the order is drawn among
        runs of 8 batches sorted by length.
    """

    def __init__(self, sequences, labels, B, *, seed=0, device="cpu", bucketed=False):
        if len(sequences) != len(labels):
            raise ValueError(f"expected one label each, got {len(sequences)} and {len(labels)}")
        if not len(sequences):
            raise ValueError("expected at least one sequence, got none")
        self.sequences = [torch.as_tensor(x) for x in sequences]
        self.lengths = torch.tensor([len(x) for x in self.sequences])
        if not self.lengths.min():
            raise ValueError(f"sequence {int(self.lengths.argmin())} is empty: leave it out")
        self.labels = torch.as_tensor(labels)
        self.device = device
        self.order = _Order([self.lengths], B, seed, 8 if bucketed else 1)
        self.batches = self.order.batches

    def __call__(self, step):
        """Return (x, lengths, labels): (b, T_max, ...), int64 (b,) and int64 (b,)."""
        index = self.order.batch(step)
        x = torch.nn.utils.rnn.pad_sequence([self.sequences[i] for i in index], batch_first=True)
        return x.to(self.device), self.lengths[index], self.labels[index].to(self.device)


class PaddedPairs:
    """Pairs of token sequences of unequal length, in batches padded with zeros on both sides.

    Every pass over the data has an order of its own; its last batch may be smaller. Pairs of
    similar length come together, which pads less: the order is drawn among runs of `run`
    batches sorted by the length of the target and, where that is equal, of the source.

    Parameters
    ----------
    sources, targets : list of list of int
        Token ids, one target for each source; 0 is padding and must not occur in them.
    B : int
        Pairs a batch, at most.
    seed : int
        Of the order.
    device : str or torch.device
        Where the batches are wanted; the lengths stay on the CPU.
    run : int
        Batches that are sorted together; 1 leaves the order to chance.
    """

    def __init__(self, sources, targets, B, *, seed=0, device="cpu", run=32):
        if len(sources) != len(targets):
            raise ValueError(
                f"expected one target for each source, got {len(targets)} and {len(sources)}"
            )
        self.sides = [_ragged(x, name) for x, name in ((sources, "source"), (targets, "target"))]
        self.lengths = torch.tensor([len(x) for x in self.sides[0]])
        self.device = device
        keys = [[len(ids) for ids in side] for side in self.sides]  # (2, N): the target decides
        self.order = _Order(keys, B, seed, run)
        self.batches = self.order.batches

    def __call__(self, step):
        """Return (source, lengths, target): int64 (b, S), int64 (b,), int64 (b, T)."""
        index = self.order.batch(step)
        source, target = (
            torch.nn.utils.rnn.pad_sequence([side[i] for i in index], batch_first=True)
            for side in self.sides
        )
        return source.to(self.device), self.lengths[index], target.to(self.device)


class _Order:
    """For each epoch an order (N,), sorted by the last of the keys (K, N) within each run.

    The last order is kept: to draw it anew for every batch would take longer than the batch.
    """

    def __init__(self, keys, B, seed, run):
        self.keys, self.B, self.seed, self.run = np.array(keys), B, seed, run
        self.batches = -(-self.keys.shape[1] // B)
        self.kept = None, None

    def batch(self, step):
        """Return the indices (b,) of the sequences in a step's batch."""
        epoch, k = divmod(step, self.batches)
        if self.kept[0] != epoch:
            self.kept = epoch, torch.from_numpy(self._draw(epoch))
        return self.kept[1][k * self.B : (k + 1) * self.B]

    def _draw(self, epoch):
        B, rng = self.B, np.random.default_rng([self.seed, epoch])
        order = rng.permutation(self.keys.shape[1])
        if self.run > 1:
            for k in range(0, len(order), self.run * B):
                part = order[k : k + self.run * B]
                order[k : k + self.run * B] = part[np.lexsort(self.keys[:, part])]
            full = len(order) // B * B
            batches = order[:full].reshape(-1, B)
            order[:full] = batches[rng.permutation(len(batches))].ravel()
        return order


def _ragged(sequences, name):
    if not len(sequences):
        raise ValueError("expected at least one pair, got none")
    for k, ids in enumerate(sequences):
        if not len(ids) or not all(ids):
            what = "has a 0, which is padding" if len(ids) else "is empty, without even EOS"
            raise ValueError(f"{name} {k} {what}")
    return [torch.as_tensor(ids, dtype=torch.int64) for ids in sequences]


def _tokens(ids, least, what):
    ids = torch.as_tensor(ids)
    if ids.ndim != 1 or ids.is_floating_point():
        raise ValueError(f"expected token ids of shape (N,), got {ids.dtype} {tuple(ids.shape)}")
    if len(ids) < least:
        raise ValueError(f"{len(ids)} tokens are too few for {what}: expected at least {least}")
    return ids.long()
