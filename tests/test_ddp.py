"""Two processes train as one does: the same losses; and what breaks that is noticed."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from rnnlib import ddp

STEPS = 12
SMALL = ["--steps", str(STEPS), "--batch", "4", "--length", "24", "--hidden", "24", "--seed", "3"]
RAGGED = [*SMALL, "--ragged"]

# Several experiments by the same two processes, because their start takes longer than all.
EXPERIMENTS = """
import json, sys
import torch
from torch import distributed
from rnnlib import ddp

number = int(sys.argv[1])
meeting = "file://" + sys.argv[2]
distributed.init_process_group("gloo", init_method=meeting, rank=number, world_size=2)

def train(*arguments):
    return ddp.train(ddp._parser().parse_args(arguments), torch.device("cpu"))["losses"]

small, ragged = {small}, {ragged}
record = dict(ragged=train(*ragged), by_process=train(*ragged, "--average", "processes"))

# Sabotages: what a hand might get wrong.
token_mean = ddp.token_mean
ddp.token_mean = lambda total, count: total / ddp.all_sum(count)  # the processes forgotten
record["not_multiplied"] = train(*small)
ddp.token_mean = token_mean

parallel = ddp.DistributedDataParallel
def summing(net):
    net = parallel(net)
    def hook(state, bucket):
        work = distributed.all_reduce(bucket.buffer(), async_op=True)  # forgets to divide
        return work.get_future().then(lambda future: future.value()[0])
    net.register_comm_hook(None, hook)
    return net
ddp.DistributedDataParallel = summing
record["not_divided"] = train(*small)

class Alone(torch.nn.Module):  # no exchange at all
    def __init__(self, net):
        super().__init__()
        self.net = net
    def forward(self, ids):
        return self.net(ids)
    def no_sync(self):
        return ddp.nullcontext()
ddp.DistributedDataParallel = Alone
record["alone"] = train(*small)
ddp.DistributedDataParallel = parallel

ddp.rank = lambda: 0  # every process takes the same part of the batch
record["same_part"] = train(*small)

try:
    train(*small, "--batch", "5")
except ValueError as error:
    record["odd"] = str(error)
if number == 0:
    open(sys.argv[3], "w").write(json.dumps(record))
distributed.destroy_process_group()
"""


@pytest.fixture(autouse=True)
def _one_thread_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def experiments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    script = folder / "experiments.py"
    script.write_text(EXPERIMENTS.format(small=SMALL, ragged=RAGGED))
    command, meeting = [sys.executable, str(script)], str(folder / "meeting")
    two = [
        subprocess.Popen([*command, str(number), meeting, "record.json"], cwd=folder, env=_cpu())
        for number in range(2)
    ]
    try:
        assert [process.wait(120) for process in two] == [0, 0]
    finally:
        for process in two:
            process.kill()
    return json.loads((folder / "record.json").read_text())


def _cpu():
    """Return the environment of a process of its own, with one thread and without a GPU."""
    path = os.pathsep.join(sys.path)
    return os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path}


def largest_difference(losses, others):
    assert len(losses) == len(others) == STEPS
    return max(abs(a - b) for a, b in zip(losses, others))


def test_two_processes_have_the_losses_of_one(tmp_path, capsys):
    one = ddp.main(SMALL)
    assert "1 process(es), alone, cpu" in capsys.readouterr().out
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]  # on a free port
    done = subprocess.run(
        [*torchrun, "--nproc-per-node=2", "-m", "rnnlib.ddp", *SMALL, "--json", "two.json"],
        cwd=tmp_path,
        env=_cpu(),
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    two = json.loads((tmp_path / "two.json").read_text())
    assert largest_difference(one["losses"], two["losses"]) <= 1e-6
    assert one["losses"][0] - one["losses"][-1] > 0.1  # and they do train
    for said_once in ("2 process(es), gloo, cpu", "stand-in"):
        assert done.stdout.count(said_once) == 1
    assert (one["world"], two["world"]) == (1, 2)
    assert (one["backend"], two["backend"]) == (None, "gloo")
    assert one["communication_share"] == 0
    assert 0 <= two["communication_share"] < 1
    assert two["steps_per_second"] > 0


def test_unequal_lengths_need_the_mean_over_tokens(experiments):
    one = ddp.main(RAGGED)["losses"]
    assert largest_difference(one, experiments["ragged"]) <= 1e-6
    assert largest_difference(one, experiments["by_process"]) > 1e-3


@pytest.mark.parametrize("mistake", ["not_multiplied", "not_divided", "alone", "same_part"])
def test_a_mistake_shows_in_the_losses(mistake, experiments):
    one = ddp.main(SMALL)["losses"]
    assert largest_difference(one, experiments[mistake]) > 1e-5


def test_a_batch_that_cannot_be_shared_is_refused(experiments):
    assert experiments["odd"] == (
        "expected a global batch that 2 processes can share equally, got 5"
    )


def test_the_mean_over_tokens_has_the_gradient_of_the_global_batch(monkeypatch):
    """Two processes played one after the other, with counts 1 and 9."""
    w = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    x = torch.arange(10.0, dtype=torch.float64)
    counts = torch.tensor([1, 9])
    monkeypatch.setattr(ddp, "world", lambda: 2)
    monkeypatch.setattr(ddp, "all_sum", lambda count: counts.sum())
    parts = [(w * part).pow(2).sum() for part in x.split([1, 9])]
    losses = [ddp.token_mean(total, count) for total, count in zip(parts, counts)]
    (found,) = torch.autograd.grad(sum(losses) / 2, w)
    (expected,) = torch.autograd.grad((w * x).pow(2).mean(), w)
    torch.testing.assert_close(found, expected)


def test_the_losses_are_means_over_the_tokens_that_count():
    _, batch_at = ddp._data(ddp._parser().parse_args(RAGGED), torch.device("cpu"))
    ids, targets = batch_at(0)
    lengths = (targets != -100).sum(1)
    assert ids.shape == targets.shape == (4, 24)
    assert len(set(lengths.tolist())) > 1
    logits = torch.randn(4, 24, int(ids.max()) + 99)
    total, count = ddp.loss_sum(lambda ids: (logits, None), ids, targets)
    kept = targets != -100
    expected = torch.nn.functional.cross_entropy(logits[kept], targets[kept])
    assert count == lengths.sum()
    torch.testing.assert_close(total / count, expected)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "2")
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 2)
    monkeypatch.setattr(torch, "cuda", cuda)
    with pytest.raises(ValueError, match="at most 2 processes, one for each GPU here"):
        ddp._join()
