"""A training run that the tests interrupt: a language model with everything a run can carry."""

import sys

import torch

from rnnlib import metrics, schedules, train
from rnnlib.data.batches import Streams
from rnnlib.nets.language_model import LanguageModel, next_loss

STEPS = 40


def quiet(steps, label):
    """Show no progress."""
    return steps


def weights(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


def parts(seed=0, H=12, lr=1e-2):
    """Net with dropout, its optimiser, and batches with resets."""
    torch.manual_seed(seed)
    net = LanguageModel(11, H, layers=2, dropout=0.2)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr)
    ids = torch.randint(11, (900,), generator=torch.Generator().manual_seed(seed))
    return net, Streams(ids, 4, 6, reset=0.2), optimizer


def run(folder=None, batch_at=None, **options):
    """Train; return the net and the history."""
    net, batches, optimizer = parts()
    ids = torch.arange(50) % 11
    settings = {
        "steps": STEPS,
        "schedule": schedules.cosine(STEPS, 5),
        "clip": 0.5,
        "accumulate": 2,
        "evaluate": lambda net: metrics.nats_stream(net, ids),
        "every": 7,
        "patience": 50,
        "folder": folder,
        "save_every": 3,
        "config": {"seed": 0, "shape": (4, 6)},
        "progress": quiet,
    }
    batch_at = batch_at or (lambda k: batches(k))
    history = train.fit(net, batch_at, next_loss, optimizer, **(settings | options))
    return net, history


def stopping(last):
    """Batches up to one, at which the run is interrupted."""
    _, batches, _ = parts()

    def batch_at(k):
        if k == last:
            raise KeyboardInterrupt
        return batches(k)

    return batch_at


if __name__ == "__main__":
    torch.set_num_threads(1)

    def announced(steps, label):
        """Say each step, and take it when told to."""
        for step in steps:
            print(step, flush=True)
            sys.stdin.readline()
            yield step

    run(sys.argv[1], progress=announced)
    print("done", flush=True)
