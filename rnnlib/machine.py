"""What this machine is: its processors, its memory, its versions."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

from rnnlib import __version__


def has_cuda():
    """Say whether PyTorch would find a CUDA device, importing it only if likely."""
    if "torch" not in sys.modules:
        driver = shutil.which("nvidia-smi") or os.path.exists("/dev/nvidia0")
        if not driver or importlib.util.find_spec("torch") is None:
            return False
    import torch

    return torch.cuda.is_available()


def device_name(device="cpu"):
    """Name the processor that a run used, such as "Tesla T4" or a CPU's model name."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name(0)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name}, {os.cpu_count()} cores"


def peak_mb(device="cpu"):
    """Peak memory of this process in MB: of the GPU's for cuda, else resident memory."""
    if device == "cuda":
        import torch

        return round(torch.cuda.max_memory_allocated() / 1e6)
    if os.name == "nt":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 1e6)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def versions():
    """Versions of Python, rnnlib and the packages that decide results."""
    found = {"python": platform.python_version(), "rnnlib": __version__}
    for name in ("numpy", "torch", "matplotlib"):
        try:
            found[name] = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found
