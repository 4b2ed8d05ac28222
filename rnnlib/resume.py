"""What a training run is made of, packed for a checkpoint and unpacked again.

Tensors go one way, under names such as ``net/rnn.weight_hh_l0``, and all that JSON can hold
the other.
"""

import dataclasses
from dataclasses import dataclass, field

import torch

from rnnlib.checkpoint import CheckpointError


@dataclass
class History:
    """What :func:`rnnlib.train.fit` returns.

    Attributes
    ----------
    losses : list of float
        Training loss of each step, before its update.
    evaluations : list of (int, float)
        Steps done, and what `evaluate` gave then.
    seconds : float
        Wall time, without what an interruption lost.
    stopped : str
        Why training ended.
    """

    losses: list = field(default_factory=list)
    evaluations: list = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = ""

    @property
    def best(self):
        """The evaluation with the lowest value, (step, value); None if there was none."""
        return min(self.evaluations, key=lambda pair: pair[1], default=None)


def pack(net, optimizer, scaler, state, best, history):
    """Take a run apart.

    Parameters
    ----------
    net : torch.nn.Module
        Its state_dict is taken.
    optimizer : torch.optim.Optimizer
        Its options must be what JSON can hold: a fused or a tensor learning rate is not.
    scaler : torch.amp.GradScaler
        Enabled or not.
    state : state
        What is carried from batch to batch: None, a tensor, or a tuple of states.
    best : dict of str to torch.Tensor, or None
        The best weights so far.
    history : History
        What has been measured so far.

    Returns
    -------
    tensors : dict of str to torch.Tensor
    record : dict
    """
    tensors = {f"net/{k}": v for k, v in net.state_dict().items()}
    tensors |= {f"best/{k}": v for k, v in (best or {}).items()}
    options = optimizer.state_dict()
    numbers = {}
    for index, entries in options["state"].items():
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer/{index}/{name}"] = value
            else:
                numbers.setdefault(str(index), {})[name] = value
    record = {
        "groups": options["param_groups"],
        "numbers": numbers,
        "scaler": scaler.state_dict(),
        "state": _flatten(state, "state", tensors),
        "history": dataclasses.asdict(history),
    }
    tensors["random/cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random/cuda"] = torch.cuda.get_rng_state()
    return tensors, record


def unpack(tensors, record, net, optimizer, scaler):
    """Put a run together again, in place; the inverse of :func:`pack`.

    Returns
    -------
    state, best, history
        As they were given to :func:`pack`.

    Raises
    ------
    CheckpointError
        If the net has other weights than the one that was saved.
    """
    parts = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        parts.setdefault(kind, {})[rest] = tensor
    _compare(parts["net"], net.state_dict())
    net.load_state_dict(parts["net"])
    entries = {int(k): dict(v) for k, v in record["numbers"].items()}
    for name, tensor in parts.get("optimizer", {}).items():
        index, _, key = name.partition("/")
        entries.setdefault(int(index), {})[key] = tensor
    groups = [
        {k: tuple(v) if isinstance(v, list) and k != "params" else v for k, v in group.items()}
        for group in record["groups"]
    ]
    optimizer.load_state_dict({"state": entries, "param_groups": groups})
    scaler.load_state_dict(record["scaler"])
    torch.set_rng_state(parts["random"]["cpu"].cpu())
    if "cuda" in parts["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(parts["random"]["cuda"].cpu())
    history = History(**record["history"])
    history.evaluations = [tuple(pair) for pair in history.evaluations]
    return _restore(record["state"], "state", tensors), parts.get("best"), history


def same_configuration(past, now, folder):
    """Raise unless a checkpoint was made with the configuration of today.

    Parameters
    ----------
    past, now : dict
        What a run depends on, by name, in JSON's types.
    folder : path
        Of the checkpoint, for the message.

    Raises
    ------
    CheckpointError
        At the first difference.
    """
    for name in sorted(past.keys() | now.keys()):
        if past.get(name) != now.get(name):
            raise CheckpointError(
                f"the checkpoint in {folder} was made with another configuration: {name} was "
                f"{past.get(name, 'missing')}, now it is {now.get(name, 'missing')}. "
                "Give another folder, or the same configuration"
            )


def _compare(saved, present):
    for name in sorted(saved.keys() | present.keys()):
        shapes = [tuple(d[name].shape) if name in d else "missing" for d in (saved, present)]
        if shapes[0] != shapes[1]:
            raise CheckpointError(
                f"the checkpoint belongs to another net: {name} is {shapes[0]} there and "
                f"{shapes[1]} here. Give another folder, or the same net"
            )


def _flatten(state, name, tensors):
    """Put a state's tensors among the others, and return its form."""
    if state is None:
        return None
    if isinstance(state, torch.Tensor):
        tensors[name] = state
        return "tensor"
    return [_flatten(part, f"{name}/{k}", tensors) for k, part in enumerate(state)]


def _restore(form, name, tensors):
    if form is None:
        return None
    if form == "tensor":
        return tensors[name]
    return tuple(_restore(part, f"{name}/{k}", tensors) for k, part in enumerate(form))
