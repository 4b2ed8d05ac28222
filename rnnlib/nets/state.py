"""What is carried from one window of a stream to the next.

A state is None, a tensor, or a tuple of states; a recurrent module's own is (layers, B, H), or
a pair of those for an LSTM.
"""

import torch


def detach(state):
    """Return the same numbers, cut off from the graph that computed them."""
    return _each(state, torch.Tensor.detach)


def reset(state, mask):
    """Return the state with some sequences of the batch set to zero.

    Parameters
    ----------
    state : state
        Tensors of shape (layers, B, H).
    mask : torch.Tensor
        bool, (B,): True where a sequence starts anew.

    Returns
    -------
    state
        Like the one given.

    Raises
    ------
    ValueError
        If the mask does not have one entry for each sequence.
    """

    def zero(tensor):
        if mask.shape != tensor.shape[1:2]:
            raise ValueError(
                f"expected a mask of shape (B={tensor.shape[1]},), got {tuple(mask.shape)}: "
                f"states are (layers, B, H), here {tuple(tensor.shape)}"
            )
        return tensor.masked_fill(mask[None, :, None], 0)

    return _each(state, zero)


def select(state, rows):
    """Return rows of a state whose tensors have the batch first, as in decoding.

    Parameters
    ----------
    state : state
        Tensors of shape (B, ...).
    rows : torch.Tensor
        int64, (R,): which rows, in any order, repeated or not.

    Returns
    -------
    state
        Tensors of shape (R, ...).
    """
    return _each(state, lambda tensor: tensor.index_select(0, rows))


def _each(state, function):
    if state is None:
        return None
    if isinstance(state, torch.Tensor):
        return function(state)
    return tuple(_each(part, function) for part in state)
