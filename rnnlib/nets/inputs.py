"""What the recurrent nets demand of their inputs, with errors that say so.

PyTorch checks much of this itself, though not always before it has computed something else:
a time-major batch with as many steps as sequences passes through a batch-first net without
a word. The checks here look at shapes, types and devices, which costs no time on a GPU; only
lengths are read, and these live on the CPU.
"""

import torch
from torch import nn


def check_batch(x, I):
    """Raise unless x is a batch (B, T, I) of numbers.

    Parameters
    ----------
    x : torch.Tensor
        What is to be fed to a batch-first net.
    I : int
        Features at each step that the net was built for.

    Raises
    ------
    TypeError
        If x is no tensor of floating-point numbers.
    ValueError
        If it is not of shape (B, T, I) with at least one sequence and one step.
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"expected x as a tensor (B, T, I={I}), got a {type(x).__name__}")
    shape = tuple(x.shape)
    if not x.is_floating_point():
        raise TypeError(
            f"expected x of a floating-point dtype, got {x.dtype} {shape}: "
            "token ids need an embedding first"
        )
    if x.ndim == 2 and shape[1] == I:
        raise ValueError(
            f"expected x of shape (B, T, I={I}), got {shape}: for one sequence use x[None], "
            "for a batch of single frames x[:, None]"
        )
    if x.ndim != 3 or shape[2] != I:
        hint = ""
        if x.ndim == 3 and I in shape:
            hint = f": the {I} features stand in axis {shape.index(I)}, not last"
        raise ValueError(f"expected x of shape (B, T, I={I}), got {shape}{hint}")
    if 0 in shape:
        raise ValueError(f"expected at least one sequence and one step, got B, T, I = {shape}")


def check_lengths(lengths, B, T):
    """Raise unless there is one length in 1..T for each of B sequences, on the CPU.

    Parameters
    ----------
    lengths : torch.Tensor
        int64, (B,), in any order.
    B, T : int
        Of the batch that they belong to, (B, T, I).

    Raises
    ------
    TypeError
        If they are not an int64 tensor.
    ValueError
        If they are on a GPU, too many or too few, or not in 1..T.
    """
    if not isinstance(lengths, torch.Tensor):
        raise TypeError(
            f"expected lengths as an int64 tensor (B={B},), got a {type(lengths).__name__}: "
            "use torch.tensor(lengths)"
        )
    if lengths.dtype != torch.int64:
        raise TypeError(f"expected lengths of dtype int64, got {lengths.dtype}: use .long()")
    if lengths.device.type != "cpu":
        raise ValueError(
            f"expected lengths on the CPU, got {lengths.device}: packing reads them there. "
            "Move the batch to the GPU and leave its lengths behind, or use lengths.cpu()"
        )
    if lengths.shape != (B,):
        hint = ""
        if lengths.shape == (T,):
            hint = f": as many as steps, so is x time-major, (T={B}, B={T}, I)?"
        raise ValueError(f"expected lengths of shape (B={B},), got {tuple(lengths.shape)}{hint}")
    wrong = (lengths < 1) | (lengths > T)
    if wrong.any():
        b = int(wrong.int().argmax())
        if lengths[b] < 1:
            hint = "leave empty sequences out"
        elif int(lengths.max()) == B:
            hint = f"is x time-major, (T={B}, B={T}, I)?"
        else:
            hint = "was x cut, or do the lengths belong to another batch?"
        raise ValueError(f"expected lengths in 1..T={T}, got {lengths[b]} for sequence {b}: {hint}")


def check_tokens(source, lengths):
    """Raise unless these are token ids (B, S) and one length in 1..S for each of the B.

    Parameters
    ----------
    source : torch.Tensor
        Integers, (B, S).
    lengths : torch.Tensor
        As for :func:`check_lengths`.

    Raises
    ------
    TypeError
        As :func:`check_lengths` does.
    ValueError
        If the ids are floats or of another shape, or the lengths do not fit them.
    """
    if source.ndim != 2 or source.is_floating_point():
        raise ValueError(
            f"expected token ids of shape (B, S), got {source.dtype} {tuple(source.shape)}: "
            "for one sentence use source[None]"
        )
    check_lengths(lengths, *source.shape)


def check_state(state, module, B):
    """Raise unless a state fits a recurrent module and a batch of B sequences.

    Parameters
    ----------
    state : torch.Tensor, pair of torch.Tensor, or None
        None, which is a state of zeros, always fits.
    module : nn.RNN, nn.GRU or nn.LSTM
        What the state is to be given to.
    B : int
        Sequences in the batch.

    Raises
    ------
    TypeError
        If an LSTM is not given a pair (h, c), or another module not one tensor.
    ValueError
        If a shape or a device does not fit.
    """
    if state is None:
        return
    kind, pair = type(module).__name__, isinstance(state, tuple | list)
    H, P = module.hidden_size, module.proj_size or module.hidden_size
    D = 2 if module.bidirectional else 1
    wanted = {"h": (module.num_layers * D, B, P)}
    if isinstance(module, nn.LSTM):
        if not pair or len(state) != 2:
            got = f"{len(state)} parts" if pair else f"one {type(state).__name__}"
            raise TypeError(f"expected a state (h, c) for nn.LSTM, got {got}: from a GRU or RNN?")
        wanted["c"] = (module.num_layers * D, B, H)
    elif pair:
        raise TypeError(
            f"expected one tensor as the state of nn.{kind}, got {len(state)} parts: "
            "from an LSTM, whose state is (h, c)?"
        )
    for (name, shape), part in zip(wanted.items(), state if pair else [state], strict=True):
        if not isinstance(part, torch.Tensor):
            raise TypeError(f"expected {name} as a tensor, got a {type(part).__name__}")
        _check_part(name, part, shape, next(module.parameters()).device)


def _check_part(name, part, shape, device):
    found = tuple(part.shape)
    if found != shape:
        hint = ""
        if found == (shape[1], shape[0], shape[2]):
            hint = ": batch_first turns x and the output round, never the state"
        elif part.ndim == 3 and (found[0], found[2]) == (shape[0], shape[2]):
            hint = f": carried over from a batch of {found[1]}? Start anew, or drop the odd batch"
        raise ValueError(
            f"expected {name} of shape (layers * directions, B, H) = {shape}, got {found}{hint}"
        )
    if part.device != device:
        raise ValueError(f"expected {name} on {device}, where the weights are, got {part.device}")
