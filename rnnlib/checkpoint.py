"""Checkpoints that survive a kill: safetensors plus JSON, written whole or not at all.

A checkpoint is two files, ``step-00001200.safetensors`` and ``step-00001200.json``. Each is
written under another name and renamed when it is complete on the disk, the JSON last; it
holds the other's checksum. Nothing is ever unpickled, so a checkpoint can do no harm.
"""

import hashlib
import json
import os
import re
import warnings
from pathlib import Path

import safetensors.torch
import torch

FORMAT = 1
_DAMAGE = (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError)


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message says why and what to do."""


def save(folder, step, tensors, record, keep=2):
    """Write one checkpoint and remove those that are older than the last few.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    step : int
        At least 0.
    tensors : dict of str to torch.Tensor
        Any device; stored as they are.
    record : dict
        Whatever JSON can hold. Floats come back exactly.
    keep : int
        How many of the newest checkpoints stay, at least 1.

    Returns
    -------
    pathlib.Path
        The JSON file.

    Raises
    ------
    CheckpointError
        If a floating-point tensor holds a number that is not finite. Nothing is written.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(
                f"{name} is not finite at step {step}: nothing was written, "
                f"the checkpoints in {folder} are as they were. Did training diverge?"
            )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Clones, because tied weights and views of one storage cannot be stored as such.
    blob = safetensors.torch.save({name: _own(tensor) for name, tensor in tensors.items()})
    whole = {"format": FORMAT, "step": step, "sha256": _sha256(blob), "record": record}
    text = json.dumps(whole, allow_nan=False)
    path = folder / f"step-{step:08d}.json"
    _write(path.with_suffix(".safetensors"), blob)
    _write(path, text.encode())
    kept = _steps(folder)[:keep]
    for old in sorted(folder.glob("step-*.*")):  # a .json before its .safetensors
        if int(old.name[5:13]) not in kept:
            old.unlink()
    return path


def load(folder, device="cpu"):
    """Read the newest checkpoint that is whole.

    Parameters
    ----------
    folder : path
        May be empty, or not be there.
    device : str or torch.device
        Where the tensors are wanted.

    Returns
    -------
    (step, tensors, record) or None
        None if there is no checkpoint at all.

    Warns
    -----
    UserWarning
        For each damaged checkpoint that was passed over.

    Raises
    ------
    CheckpointError
        If there are checkpoints, and none is whole.
    """
    folder = Path(folder)
    steps = _steps(folder)
    for step in steps:
        path = folder / f"step-{step:08d}.json"
        try:
            whole = json.loads(path.read_bytes())
            blob = path.with_suffix(".safetensors").read_bytes()
            if whole["format"] != FORMAT:
                raise CheckpointError(f"format {whole['format']}, expected {FORMAT}")
            if _sha256(blob) != whole["sha256"]:
                raise CheckpointError("its tensors are not those that were written")
            tensors = {k: v.to(device) for k, v in safetensors.torch.load(blob).items()}
        except (*_DAMAGE, CheckpointError) as error:
            reason = str(error) or type(error).__name__
            warnings.warn(f"checkpoint {path.name} is damaged ({reason})", stacklevel=2)
        else:
            return whole["step"], tensors, whole["record"]
    if steps:
        raise CheckpointError(
            f"all {len(steps)} checkpoints in {folder} are damaged: "
            "delete the folder to start afresh"
        )
    return None


def _own(tensor):
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _steps(folder):
    """Steps of the checkpoints in a folder, newest first."""
    if not folder.is_dir():
        return []
    matches = (re.fullmatch(r"step-(\d{8})\.json", path.name) for path in folder.iterdir())
    return sorted((int(match[1]) for match in matches if match), reverse=True)


def _sha256(blob):
    return hashlib.sha256(blob).hexdigest()


def _write(path, data):
    """Write the whole file or none of it, also if the machine stops in between."""
    part = path.with_suffix(path.suffix + ".part")
    with open(part, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
