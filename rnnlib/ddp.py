r"""Data-parallel training of a small language model: one script, any number of processes.

.. code-block:: bash

    python -m rnnlib.ddp --steps 100 --batch 32                           # one process
    torchrun --nproc-per-node=2 -m rnnlib.ddp --steps 100 --batch 32      # two

``--batch`` is the global batch: of two processes each takes half of it. Both commands take
the same optimisation steps and report the same losses. Where CUDA is, each process has a GPU
of its own and they talk by NCCL; elsewhere they are CPU processes that talk by Gloo.

What ``DistributedDataParallel`` does is one thing: after the backward pass, every process
has the *mean of the processes' gradients*. What follows from that, and what does not:

- The mean of the processes' gradients is the gradient of the global batch's mean loss only
  if each process divides by the same number of tokens. With sequences of unequal lengths it
  is not, and :func:`token_mean` is needed (compare ``--ragged`` with ``--ragged --average
  processes``).
- With the global batch unchanged, the optimisation is unchanged: there is no reason to
  multiply the learning rate by the number of processes. That advice is for a global batch
  that has grown with it, where it is a rule of thumb. (A sum of gradients in the place of
  the mean would multiply it for SGD. Adam, which divides by the gradients' size, hides it.)
- The processes start from the same weights, because rank 0 sends its own to all. But dropout
  masks must not be the same everywhere, so a net with dropout needs a seed of its own for
  each rank, and its losses are then not those of a single process.
- Only the batch is divided. Each process still goes through all T steps of its sequences one
  after the other, and back. Time is not made parallel by this.
- A batch half as large is rarely computed in half the time by a recurrent net, whose steps
  are short of work already; and the gradients' exchange is extra. Both are measured here.
"""

import argparse
import json
import os
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import distributed
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from rnnlib.data.batches import Blocks
from rnnlib.data.text import tiny_shakespeare
from rnnlib.nets.language_model import LanguageModel

_UNUSED = -100  # a target that does not count


def main(arguments=None):
    """Train as the command line says; the first process prints and writes the record.

    Parameters
    ----------
    arguments : list of str, optional
        The command line without the program's name; that of the process if not given.

    Returns
    -------
    dict
        What :func:`train` returns.
    """
    options = _parser().parse_args(arguments)
    device = _join()
    try:
        record = train(options, device)
        if rank() == 0:
            text = json.dumps(record, indent=1)
            if options.json is not None:
                options.json.write_text(text + "\n")
            print(_summary(record))
        return record
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def train(options, device):
    """Train this process's part of every batch.

    Parameters
    ----------
    options : argparse.Namespace
        The command line.
    device : torch.device
        Where this process computes.

    Returns
    -------
    dict
        ``losses``: of every step, the global batch's mean over tokens in nats, before the
        update; ``steps_per_second``, without the first step; ``communication_share``: the
        part of a forward and backward pass that goes to averaging the gradients, waiting
        included, between 0 and 1; and ``world``, ``backend``, ``device``, ``batch``.
    """
    if options.batch % world():
        raise ValueError(
            f"expected a global batch that {world()} processes can share equally, "
            f"got {options.batch}"
        )
    V, batch_at = _data(options, device)
    torch.manual_seed(options.seed)
    net = LanguageModel(V, options.hidden).to(device)
    if distributed.is_initialized():
        net = DistributedDataParallel(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=options.rate, momentum=0.9)
    totals, times = [], [perf_counter()]
    for step in range(options.steps):
        total, count = loss_sum(net, *batch_at(step))
        loss = token_mean(total, count) if options.average == "tokens" else total / count
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(torch.stack([total.detach(), count.to(total.dtype)]))
        _wait(device)
        times.append(perf_counter())
    totals = all_sum(torch.stack(totals).double())  # (steps, 2)
    return {
        "world": world(),
        "backend": distributed.get_backend() if distributed.is_initialized() else None,
        "device": str(device),
        "batch": options.batch,
        "losses": (totals[:, 0] / totals[:, 1]).tolist(),
        "steps_per_second": (options.steps - 1) / (times[-1] - times[1]) if times[2:] else None,
        "communication_share": _communication_share(net, batch_at, device),
    }


def loss_sum(net, ids, targets):
    """Add up the cross-entropies of all targets that count.

    Parameters
    ----------
    net : nn.Module
        Gives logits (B, T, V) and a state.
    ids, targets : torch.Tensor
        int64 (B, T); a target of -100 does not count.

    Returns
    -------
    total : torch.Tensor
        In nats, 0-dimensional.
    count : torch.Tensor
        How many targets count, 0-dimensional, int64.
    """
    logits, _ = net(ids)
    total = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=_UNUSED, reduction="sum"
    )
    return total, (targets != _UNUSED).sum()


def token_mean(total, count):
    r"""Scale this process's loss so that the mean of gradients is that of the global batch.

    With :math:`S_r` the summed loss and :math:`N_r` the tokens of process r of R, the wanted
    loss is :math:`\sum_r S_r / \sum_r N_r`. What is averaged over processes is

    .. math::

        L_r = R\, S_r / \sum_s N_s, \qquad
        \frac{1}{R} \sum_r \nabla L_r = \nabla \frac{\sum_r S_r}{\sum_r N_r}.

    Averaging :math:`S_r / N_r` instead counts a token of a process with few of them more
    than a token of one with many.

    Parameters
    ----------
    total : torch.Tensor
        This process's summed loss, 0-dimensional.
    count : torch.Tensor
        This process's number of tokens, 0-dimensional.

    Returns
    -------
    torch.Tensor
        The loss to call ``backward`` on; in a single process the plain mean.
    """
    return total * world() / all_sum(count)


def all_sum(tensor):
    """Return the sum of a tensor over all processes, to each of them; no gradient."""
    tensor = tensor.detach().clone()
    if distributed.is_initialized():
        distributed.all_reduce(tensor)
    return tensor


def rank():
    """Return this process's number, 0 if it is the only one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world():
    """Return the number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _join():
    """Join the processes that torchrun started, if it did; return this one's device."""
    cuda = torch.cuda.is_available()
    if "LOCAL_RANK" not in os.environ:
        return torch.device("cuda" if cuda else "cpu")
    local = int(os.environ["LOCAL_RANK"])
    if cuda:
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"expected at most {torch.cuda.device_count()} processes, one for each GPU here; "
                'for CPU processes set the environment variable CUDA_VISIBLE_DEVICES to ""'
            )
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if cuda else "gloo")
    return torch.device("cuda", local) if cuda else torch.device("cpu")


def _data(options, device):
    """Return the size of the vocabulary and step -> this process's (ids, targets)."""
    # Every process draws the whole batch and keeps its part: a few integers, no messages.
    with redirect_stdout(None) if rank() else nullcontext():
        text = tiny_shakespeare(standin=not options.shakespeare)
    blocks = Blocks(text.split()[0], options.batch, options.length, seed=options.seed)
    n = options.batch // world()
    mine = slice(rank() * n, (rank() + 1) * n)

    def batch_at(step):
        ids, targets, _ = blocks(step)
        if options.ragged:
            # Shortest first, as buckets of similar lengths would have it.
            rng = np.random.default_rng([options.seed, step, 1])
            lengths = np.sort(rng.integers(1, options.length, options.batch, endpoint=True))
            ended = torch.arange(options.length) >= torch.from_numpy(lengths)[:, None]
            targets = targets.masked_fill(ended, _UNUSED)
        return ids[mine].to(device), targets[mine].to(device)

    return len(text.vocabulary), batch_at


def _communication_share(net, batch_at, device, repetitions=5):
    """Time passes with and without the exchange of gradients, by turns; no update."""
    if not distributed.is_initialized():
        return 0.0
    seconds = {True: 0.0, False: 0.0}
    for step in range(2 * repetitions):
        exchange = step % 2 == 1
        batch = batch_at(step // 2)
        net.zero_grad()
        distributed.barrier()
        start = perf_counter()
        with nullcontext() if exchange else net.no_sync():
            loss_sum(net, *batch)[0].backward()
        _wait(device)
        seconds[exchange] += perf_counter() - start
    alone, whole = all_sum(torch.tensor([seconds[False], seconds[True]], device=device)).tolist()
    return max(0.0, 1 - alone / whole)


def _wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _summary(record):
    speed = record["steps_per_second"]
    return (
        f"{record['world']} process(es), {record['backend'] or 'alone'}, {record['device']}: "
        f"loss {record['losses'][0]:.4f} -> {record['losses'][-1]:.4f} nats per token, "
        + (f"{speed:.1f} steps/s, " if speed else "")
        + f"communication {record['communication_share']:.0%}"
    )


def _parser():
    about = __doc__.split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m rnnlib.ddp", description=about)
    parser.add_argument("--steps", type=int, default=100, help="optimisation steps")
    parser.add_argument("--batch", type=int, default=32, help="sequences in all processes together")
    parser.add_argument("--length", type=int, default=64, help="tokens in a sequence")
    parser.add_argument("--hidden", type=int, default=64, help="width of the LSTM")
    parser.add_argument("--rate", type=float, default=0.5, help="learning rate")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the batches")
    parser.add_argument("--json", type=Path, help="file to write the record to")
    parser.add_argument(
        "--shakespeare", action="store_true", help="Tiny Shakespeare, not the built-in stand-in"
    )
    parser.add_argument("--ragged", action="store_true", help="sequences of unequal lengths")
    parser.add_argument(
        "--average",
        choices=("tokens", "processes"),
        default="tokens",
        help="the loss is the mean over all tokens, or the mean of each process's own mean",
    )
    return parser


if __name__ == "__main__":
    main()
