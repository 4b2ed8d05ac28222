"""In which floating-point format a net computes, and how it is evaluated."""

import contextlib
import time

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


def fastest(device):
    """Return the precision in which large matrix products are fastest on a device.

    Parameters
    ----------
    device : str or torch.device
        A GPU is asked what it has units for: bfloat16, else float16. A CPU is timed:
        bfloat16 if it is at least 1.5 times as fast as float32, as it is where there are
        units for it.

    Returns
    -------
    {"float32", "bfloat16", "float16"}
    """
    if torch.device(device).type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device)[0] >= 8 else "float16"

    def seconds(dtype):
        a = torch.ones(768, 768, dtype=dtype)
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            torch.mm(a, a)
            taken.append(time.perf_counter() - began)
        return min(taken)

    return "bfloat16" if seconds(torch.bfloat16) * 1.5 < seconds(torch.float32) else "float32"


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
