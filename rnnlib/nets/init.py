"""How the course's recurrent layers are built, and how they start out."""

import torch
from torch import nn

_CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def layers(cell, I, H, count=1, *, dropout=0.0, bidirectional=False):
    """Build batch-first recurrent layers, initialised as PyTorch does.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
        Which recurrence.
    I, H : int
        Width of the input and of the state.
    count : int
        Layers, one on another.
    dropout : float
        Between the layers; without effect where there is one alone.
    bidirectional : bool
        Read from the end as well.

    Returns
    -------
    nn.RNN, nn.GRU or nn.LSTM

    Raises
    ------
    ValueError
        If the cell is none of the three.
    """
    if cell not in _CELLS:
        raise ValueError(f"expected a cell among {', '.join(_CELLS)}, got {cell!r}")
    return _CELLS[cell](
        I,
        H,
        count,
        batch_first=True,
        dropout=dropout if count > 1 else 0.0,  # else PyTorch warns
        bidirectional=bidirectional,
    )


@torch.no_grad()
def recurrent_(module, forget_bias=1.0):
    """Initialise a recurrent module in place: orthogonal recurrence, open forget gate.

    Each gate's recurrent weights become an orthogonal matrix, each gate's input weights
    Xavier uniform (fan-in I, fan-out H), all biases 0 except the LSTM's forget gate.

    Parameters
    ----------
    module : nn.RNN, nn.GRU or nn.LSTM
        Any number of layers, one or two directions, with or without a projection.
    forget_bias : float
        What the two forget biases of an LSTM sum to.

    Returns
    -------
    nn.Module
        The same module.

    References
    ----------
    A. M. Saxe, J. L. McClelland, S. Ganguli, Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks, ICLR 2014 (orthogonal weights).
    R. Jozefowicz, W. Zaremba, I. Sutskever, An empirical exploration of recurrent network
    architectures, ICML 2015 (forget bias of 1).
    """
    if not isinstance(module, nn.RNNBase):
        raise TypeError(f"expected nn.RNN, nn.GRU or nn.LSTM, got {type(module).__name__}")
    H = module.hidden_size
    for name, weight in module.named_parameters():
        if name.startswith("weight_ih"):
            for gate in weight.split(H):  # (H, I)
                nn.init.xavier_uniform_(gate)
        elif name.startswith("weight_hh"):
            for gate in weight.split(H):  # (H, H), or (H, P) with a projection
                nn.init.orthogonal_(gate)
        elif name.startswith("weight_hr"):
            nn.init.orthogonal_(weight)  # (P, H)
        else:
            nn.init.zeros_(weight)
            if isinstance(module, nn.LSTM) and name.startswith("bias_ih"):
                weight[H : 2 * H] = forget_bias  # gate order i, f, g, o
    return module
