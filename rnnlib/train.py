"""One training loop for the book, from chapter 07 on: :func:`fit`.

It clips, schedules, accumulates, computes in mixed precision, carries the state of a
stream, evaluates, stops early, keeps checkpoints, and resumes from them exactly.
"""

import json
import math
import time

import torch
from tqdm import tqdm

from rnnlib import checkpoint, resume
from rnnlib.nets import state as states
from rnnlib.nets.precision import autocast, device_of
from rnnlib.resume import History
from rnnlib.schedules import constant

_LOOK = 20  # steps between looks at the losses on a GPU, where each look waits for the device


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which step, why, and what to try."""


def fit(
    net,
    batch_at,
    loss,
    optimizer,
    *,
    steps,
    schedule=None,
    clip=None,
    precision="float32",
    accumulate=1,
    evaluate=None,
    every=0,
    patience=None,
    folder=None,
    save_every=0,
    config=None,
    progress=None,
):
    """Train a net.

    Parameters
    ----------
    net : torch.nn.Module
        On any device. It is left in training mode.
    batch_at : callable
        ``batch_at(k)`` gives the k-th batch, the same one each time it is asked, as
        those of :mod:`rnnlib.data.batches` do. That is what makes a resumed run exact.
    loss : callable
        ``loss(net, batch, state) -> loss, state``. The state is what the last call
        returned, cut off from its graph; None at first, and where nothing is carried.
    optimizer : torch.optim.Optimizer
        Its learning rates are the ones that `schedule` multiplies.
    steps : int
        Updates in all, those before an interruption included.
    schedule : callable, optional
        ``schedule(step) -> factor`` of the learning rate, as those of
        :mod:`rnnlib.schedules`; constant if not given.
    clip : float, optional
        Scale the gradient down to this norm where it is longer.
    precision : {"float32", "bfloat16", "float16"}
        Of the matrix products. float16 scales the loss, and leaves out updates that overflow.
    accumulate : int
        Batches that are averaged into one update.
    evaluate : callable, optional
        ``evaluate(net) -> float``, lower is better.
    every : int
        Steps between evaluations; 0 means one, at the end.
    patience : int, optional
        Stop after so many evaluations without a new best. If given, the net ends with its
        best weights, whether it stopped early or not.
    folder : path, optional
        Keep checkpoints here, and go on from the newest good one that is found here.
    save_every : int
        Steps between checkpoints; 0 means one, at the end.
    config : dict, optional
        Whatever the run depends on, in JSON's types. A checkpoint with another one is refused.
    progress : callable, optional
        Wraps the steps, as a chapter's ``run.progress`` does; a progress bar if not given.

    Returns
    -------
    rnnlib.resume.History

    Raises
    ------
    TrainingError
        If a loss or the gradient's norm is not finite, or memory runs out. On the CPU the
        weights are then those before the failing step; checkpoints stay as they are.
    rnnlib.checkpoint.CheckpointError
        If the checkpoints belong to another configuration, or all are damaged.
    ValueError
        If an option is out of range.

    Notes
    -----
    A resumed run ends with the bits of one that was not interrupted, on the same CPU, versions
    and threads: PyTorch's generators are restored, not Python's and NumPy's. cuDNN promises less.
    """
    least = {"steps": 0, "accumulate": 1, "every": 0, "save_every": 0}
    _check(least, steps=steps, accumulate=accumulate, every=every, save_every=save_every)
    if patience is not None and not (patience > 0 and evaluate and every):
        raise ValueError("patience counts evaluations: give evaluate, and both at least 1")
    device, schedule = device_of(net), schedule or constant()
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    config = dict(config or {}, precision=precision, accumulate=accumulate, clip=clip)
    config = json.loads(json.dumps(config))  # as a checkpoint gives it back
    run = _Run(net, optimizer, scaler, schedule, config, patience)
    if folder is not None:
        run.restore(folder, device)
    rest = range(run.step, 0 if run.history.stopped else steps)
    bar = (progress or _progress)(rest, "training")
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * schedule(step)
        try:
            run.gradient(loss, batch_at, step, accumulate, precision)
        except RuntimeError as error:
            _explain(error, step, precision, device.type)
            raise
        run.update(step, clip, look=device.type == "cpu" or step % _LOOK == 0)
        last = step + 1 == steps
        if evaluate and (last or _due(step, every)):
            run.judge(evaluate)
        if folder is not None and (last or run.history.stopped or _due(step, save_every)):
            run.save()
        if run.history.stopped:
            break
    if hasattr(bar, "close"):
        bar.close()
    return run.finish()


class _Run:
    """A training run between two steps."""

    def __init__(self, net, optimizer, scaler, schedule, config, patience):
        self.net, self.optimizer, self.scaler = net, optimizer, scaler
        self.schedule, self.config, self.patience = schedule, config, patience
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.step, self.state, self.best, self.history = 0, None, None, History()
        self.unseen = []  # (step, loss, norm) on the device that nobody has looked at yet
        self.began = time.perf_counter()
        self.folder = None
        net.train()

    def gradient(self, loss, batch_at, step, accumulate, precision):
        """Leave the mean gradient of the step's batches in the parameters."""
        total, kind = 0.0, device_of(self.net).type
        for k in range(step * accumulate, (step + 1) * accumulate):
            with autocast(kind, precision):
                value, self.state = loss(self.net, batch_at(k), self.state)
            self.state = states.detach(self.state)
            value = value / accumulate
            total = total + value.detach()
            self.scaler.scale(value).backward()
        self.loss = total

    def update(self, step, clip, look):
        """Clip, look whether all is finite, and change the weights."""
        norm = None
        if clip is not None:
            self.scaler.unscale_(self.optimizer)
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, clip)
        self.unseen.append((step, self.loss, None if self.scaler.is_enabled() else norm))
        if look:
            self.look()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.step = step + 1

    def look(self):
        """Move the losses to the history, or raise at the first that is not finite."""
        for step, loss, norm in self.unseen:
            for name, value in (("loss", loss), ("gradient's norm", norm)):
                if value is not None and not math.isfinite(value):
                    kept = "" if self.folder is None else ", the checkpoints are as they were"
                    raise TrainingError(
                        f"the {name} is {float(value)} at step {step}; training stopped{kept}. "
                        "Likely causes: a learning rate that is too high, a gradient that is "
                        "not clipped (clip=1.0), or inputs that are not finite"
                    )
            self.history.losses.append(float(loss))
        self.unseen.clear()

    def judge(self, evaluate):
        """Evaluate; with patience, keep the best weights and see whether to stop."""
        self.look()
        value = float(evaluate(self.net))
        self.net.train()
        self.history.evaluations.append((self.step, value))
        if self.patience is None:
            return
        best, _ = self.history.best
        if best == self.step:
            self.best = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        since = sum(step > best for step, _ in self.history.evaluations)
        if since >= self.patience:
            self.history.stopped = f"no better for {since} evaluations"

    def clock(self):
        """Add the time since the last call to the history, the device's work included."""
        device = device_of(self.net)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        self.history.seconds += now - self.began
        self.began = now

    def rates(self):
        """Factors of the learning rate at steps already taken: a schedule's fingerprint."""
        return [self.schedule(self.step * k // 8) for k in range(8)]

    def save(self):
        """Write a checkpoint; the losses are looked at before."""
        self.look()
        self.clock()
        tensors, record = resume.pack(
            self.net, self.optimizer, self.scaler, self.state, self.best, self.history
        )
        record |= {"config": self.config, "rates": self.rates()}
        checkpoint.save(self.folder, self.step, tensors, record)

    def finish(self):
        """Settle the history, and put the best weights back if they were kept."""
        self.look()
        self.clock()
        self.history.stopped = self.history.stopped or "all steps done"
        if self.best is not None:
            self.net.load_state_dict(self.best)
        return self.history

    def restore(self, folder, device):
        """Go on from the folder's newest good checkpoint, if there is one."""
        self.folder = folder
        found = checkpoint.load(folder, device)
        if found is None:
            return
        self.step, tensors, record = found
        past = record["config"] | {"schedule": record["rates"]}
        resume.same_configuration(past, self.config | {"schedule": self.rates()}, folder)
        self.state, self.best, self.history = resume.unpack(
            tensors, record, self.net, self.optimizer, self.scaler
        )


def _progress(steps, label):
    return tqdm(steps, label, leave=False, mininterval=0.5, ncols=72)


def _due(step, every):
    return every > 0 and (step + 1) % every == 0


def _check(least, **options):
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least[name]:
            raise ValueError(
                f"expected {name}, an integer of at least {least[name]}, got {value!r}"
            )


def _explain(error, step, precision, kind):
    """Say what helps if the memory ran out or a kernel is missing; otherwise do nothing."""
    text = str(error)
    if isinstance(error, torch.cuda.OutOfMemoryError) or "t allocate memory" in text:
        raise TrainingError(
            f"the memory ran out at step {step}: {text.splitlines()[0]}\nWhat helps, in this "
            "order: fewer sequences B in a batch with accumulate raised by the same factor "
            "(the same update), fewer steps T in a window, precision='bfloat16', a smaller H"
        ) from error
    if precision == "float16" and kind == "cpu":
        raise TrainingError(
            f"float16 does not work for this net on the CPU ({text.splitlines()[0]}): "
            "use precision='bfloat16' there"
        ) from error
