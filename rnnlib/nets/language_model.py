"""A recurrent language model: which token comes next, given all before."""

import torch
from torch import nn
from torch.nn import functional as F

from rnnlib.nets import init, inputs
from rnnlib.nets import state as states


class LanguageModel(nn.Module):
    """Embedding, dropout, recurrent layers, dropout, and a linear read-out.

    Parameters
    ----------
    V : int
        Size of the vocabulary.
    H : int
        Width of the state.
    E : int, optional
        Width of the embedding; H if not given.
    layers : int
        Recurrent layers, one on another.
    cell : {"lstm", "gru", "rnn"}
        Which recurrence.
    dropout : float
        Applied to the embedding, between layers and before the read-out, each element on
        its own at each step [1]_.
    tied : bool
        The read-out uses the embedding's matrix [2]_; needs E equal to H.

    References
    ----------
    .. [1] W. Zaremba, I. Sutskever, O. Vinyals, Recurrent neural network regularization, 2014.
    .. [2] O. Press, L. Wolf, Using the output embedding to improve language models, EACL 2017.
    """

    def __init__(self, V, H, *, E=None, layers=1, cell="lstm", dropout=0.0, tied=False):
        super().__init__()
        E = H if E is None else E
        if tied and E != H:
            raise ValueError(f"tied weights need E = H, got E={E} and H={H}")
        self.V = V
        self.embedding = nn.Embedding(V, E)
        self.dropout = nn.Dropout(dropout)
        self.rnn = init.layers(cell, E, H, layers, dropout=dropout)
        self.readout = nn.Linear(H, V)
        init.recurrent_(self.rnn)
        nn.init.normal_(self.embedding.weight, std=E**-0.5 if tied else 1.0)
        nn.init.zeros_(self.readout.bias)
        if tied:
            self.readout.weight = self.embedding.weight

    def forward(self, ids, state=None):
        """Score every token's successor.

        Parameters
        ----------
        ids : torch.Tensor
            int64, (B, T), values 0..V-1.
        state : tensor or pair of tensors, optional
            What an earlier call returned; zeros if not given.

        Returns
        -------
        logits : torch.Tensor
            (B, T, V).
        state : tensor or pair of tensors
            After the last token.

        Raises
        ------
        TypeError
            If the ids are no integers, or the state is of another kind of cell.
        ValueError
            If the ids are not (B, T), or the state does not fit the net and the batch.
        """
        if ids.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"expected integer ids (B, T), got {ids.dtype}: one-hot or embedded?")
        if ids.ndim != 2:
            raise ValueError(
                f"expected ids of shape (B, T), got {tuple(ids.shape)}: "
                "for one sequence use ids[None]"
            )
        inputs.check_state(state, self.rnn, len(ids))
        e = self.dropout(self.embedding(ids))  # (B, T, E)
        h, state = self.rnn(e, state)  # (B, T, H)
        return self.readout(self.dropout(h)), state


def next_loss(net, batch, state):
    """Mean cross-entropy of the next tokens, in nats, with the state carried.

    Parameters
    ----------
    net : LanguageModel
        Or any net that returns logits and a state.
    batch : (ids, targets, reset)
        int64 (B, T), int64 (B, T) and bool (B,), as from :class:`rnnlib.data.batches.Streams`.
    state : state
        What the last call returned, or None.

    Returns
    -------
    loss : torch.Tensor
        0-dimensional.
    state : state
    """
    ids, targets, reset = batch
    logits, state = net(ids, states.reset(state, reset))
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten()), state
