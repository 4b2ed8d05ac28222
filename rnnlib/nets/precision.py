"""In which floating-point format a net computes, and how it is evaluated."""

import contextlib

import torch

PRECISIONS = ("float32", "bfloat16", "float16")


def autocast(device_type, precision):
    """Return the context in which matrix products run in a lower precision.

    Parameters
    ----------
    device_type : {"cpu", "cuda"}
        Where the net is.
    precision : {"float32", "bfloat16", "float16"}
        float32 changes nothing.

    Returns
    -------
    context manager

    Raises
    ------
    ValueError
        If the precision is none of these.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"expected a precision among {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device_type, dtype=getattr(torch, precision))


@contextlib.contextmanager
def evaluating(net, precision="float32"):
    """Compute without gradients and without dropout; the net's mode is put back after.

    Parameters
    ----------
    net : torch.nn.Module
        Its parameters tell the device.
    precision : {"float32", "bfloat16", "float16"}
        As for :func:`autocast`.
    """
    training = net.training
    net.eval()
    try:
        with torch.inference_mode(), autocast(device_of(net).type, precision):
            yield net
    finally:
        net.train(training)


def device_of(net):
    """Return the device that a net's parameters are on."""
    return next(net.parameters()).device
