"""One label for a whole sequence, right whatever the padding."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnlib.nets import init, inputs

POOLS = ("last", "mean", "max")


class SequenceClassifier(nn.Module):
    """Recurrent layers, one vector for the sequence, dropout, and a linear read-out.

    Parameters
    ----------
    I : int
        Features at each step.
    H : int
        Width of the state.
    classes : int
        Number of labels.
    cell : {"lstm", "gru", "rnn"}
        Which recurrence.
    layers : int
        Recurrent layers, one on another.
    bidirectional : bool
        Read each sequence from its end as well; the read-out then sees 2H numbers.
    pool : {"last", "mean", "max"}
        The vector of a sequence: the state after its last step (for the backward direction,
        after its first), or the mean or maximum of the outputs over its steps.
    dropout : float
        Applied between layers and before the read-out.
    """

    def __init__(
        self, I, H, classes, *, cell="lstm", layers=1, bidirectional=False, pool="last", dropout=0.0
    ):
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"expected a pool among {', '.join(POOLS)}, got {pool!r}")
        self.pool = pool
        self.rnn = init.layers(cell, I, H, layers, dropout=dropout, bidirectional=bidirectional)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(2 * H if bidirectional else H, classes)
        init.recurrent_(self.rnn)

    def forward(self, x, lengths=None):
        """Score every label for every sequence.

        Parameters
        ----------
        x : torch.Tensor
            (B, T, I), padded behind each sequence with anything finite.
        lengths : torch.Tensor, optional
            int64, (B,), on the CPU, in any order; T for all if not given.

        Returns
        -------
        torch.Tensor
            Logits, (B, classes).

        Raises
        ------
        ValueError
            If a shape, a device or a length does not fit: see :mod:`rnnlib.nets.inputs`.
        TypeError
            If a dtype does not fit.
        """
        inputs.check_batch(x, self.rnn.input_size)
        B, T, _ = x.shape
        if lengths is None:
            lengths = torch.full((B,), T)
        inputs.check_lengths(lengths, B, T)
        return self.readout(self.dropout(self._pooled(self._outputs(x, lengths), lengths)))

    def _outputs(self, x, lengths):
        """Outputs (B, up to T, D * H) that are right up to each sequence's length."""
        # Padding comes after a sequence, so a forward pass cannot meet it too early. Only
        # the backward direction needs packing, which the CPU does more slowly.
        if not self.rnn.bidirectional or int(lengths.min()) == x.shape[1]:
            return self.rnn(x)[0]
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]

    def _pooled(self, h, lengths):
        n = lengths.to(h.device)
        inside = (torch.arange(h.shape[1], device=h.device) < n[:, None])[..., None]  # (B, T, 1)
        if self.pool == "mean":
            return h.masked_fill(~inside, 0).sum(1) / n[:, None]
        if self.pool == "max":
            return h.masked_fill(~inside, -torch.inf).amax(1)
        last = h[torch.arange(len(h), device=h.device), n - 1]  # (B, D * H)
        if not self.rnn.bidirectional:
            return last
        H = self.rnn.hidden_size
        return torch.cat([last[:, :H], h[:, 0, H:]], dim=1)


def loss(net, batch, state=None):
    """Mean cross-entropy of a padded batch, in nats, in the form that ``train.fit`` wants.

    Parameters
    ----------
    net : SequenceClassifier
        Or any net that turns x and lengths into logits.
    batch : (x, lengths, labels)
        (B, T, I), int64 (B,) on the CPU and int64 (B,), as from
        :class:`rnnlib.data.batches.Padded`.
    state : None
        Not used: each sequence starts from zero.

    Returns
    -------
    loss : torch.Tensor
        0-dimensional.
    state : None
    """
    x, lengths, labels = batch
    return F.cross_entropy(net(x, lengths).float(), labels), None
