"""An interrupted run goes on exactly, whatever it carries, and only where it belongs."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import training_run
from training_run import STEPS, quiet, same, stopping, weights

from rnnlib import checkpoint, schedules, train
from rnnlib.nets.language_model import next_loss


@pytest.fixture(scope="module")
def whole():
    """The run that nothing interrupts."""
    net, history = training_run.run()
    return weights(net), history


@pytest.mark.parametrize("stop", [1, 2, 3, 17, 39])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, whole, stop):
    _, batches, _ = training_run.parts()

    def failing(k):
        if k == 2 * stop:
            raise KeyboardInterrupt
        return batches(k)

    with pytest.raises(KeyboardInterrupt):
        training_run.run(tmp_path, failing)
    torch.manual_seed(99)  # the generator must come from the checkpoint
    net, history = training_run.run(tmp_path)
    assert same(whole[0], weights(net))
    assert history.losses == whole[1].losses
    assert history.evaluations == whole[1].evaluations


def test_a_killed_run_ends_with_the_same_bits(tmp_path, whole):
    """SIGKILL, twice, at random steps and at any moment within a step."""
    stops = sorted(random.sample(range(4, STEPS - 1), 2))
    script = Path(training_run.__file__)
    environment = os.environ | {"PYTHONPATH": str(script.parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    for stop in stops:
        with subprocess.Popen(command, **pipes) as child:
            for line in child.stdout:
                print(file=child.stdin, flush=True)  # take this step, and wait before the next
                if int(line) == stop:
                    time.sleep(random.random() * 0.02)
                    child.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
                    break
        assert child.returncode not in (0, 1)
    finish = subprocess.run(
        command, input="\n" * STEPS, capture_output=True, text=True, env=environment, check=True
    )
    lines = finish.stdout.split()
    assert 0 < int(lines[0]) <= stops[-1] + 1, f"killed at {stops}, went on at {lines[0]}"
    assert lines[-1] == "done"
    step, tensors, _ = checkpoint.load(tmp_path)
    assert step == STEPS
    net = {name[5:]: tensor for name, tensor in tensors.items() if name.startswith("best/")}
    assert same(whole[0], net), f"killed at {stops}"


def test_a_truncated_checkpoint_is_passed_over(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt):
        training_run.run(tmp_path, stopping(50))
    newest = max(tmp_path.glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=f"{newest.stem}.json is damaged"):
        net, history = training_run.run(tmp_path)
    assert same(whole[0], weights(net))
    assert len(history.losses) == STEPS


def test_a_finished_run_is_not_run_again(tmp_path, whole):
    training_run.run(tmp_path)
    net, history = training_run.run(tmp_path, batch_at=stopping(0))
    assert same(whole[0], weights(net))
    assert history.losses == whole[1].losses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"seed": 1, "shape": (4, 6)}}, "seed was 0, now it is 1"),
        ({"clip": 1.0}, "clip was 0.5, now it is 1.0"),
        ({"schedule": schedules.cosine(80, 5)}, "schedule was"),
        ({"precision": "bfloat16"}, "precision was float32"),
    ],
)
def test_another_configuration_is_refused(tmp_path, change, message):
    training_run.run(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(checkpoint.CheckpointError, match=message):
        training_run.run(tmp_path, **change)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_another_net_is_refused(tmp_path):
    training_run.run(tmp_path)
    net, batches, optimizer = training_run.parts(H=13)
    with pytest.raises(
        checkpoint.CheckpointError, match=r"another net: .* \(11, 12\) there and \("
    ):
        train.fit(
            net, batches, next_loss, optimizer, steps=STEPS, folder=tmp_path,
            schedule=schedules.cosine(STEPS, 5), clip=0.5, accumulate=2,
            config={"seed": 0, "shape": [4, 6]}, progress=quiet,
        )  # fmt: skip


def test_momentum_and_rates_of_several_groups_survive(tmp_path):
    def start():
        net, batches, _ = training_run.parts()
        groups = [
            {"params": net.embedding.parameters(), "lr": 0.3},
            {"params": [*net.rnn.parameters(), *net.readout.parameters()], "nesterov": True},
        ]
        return net, batches, torch.optim.SGD(groups, lr=0.1, momentum=0.9)

    net, batches, optimizer = start()
    train.fit(net, batches, next_loss, optimizer, steps=9, progress=quiet)
    for steps in (4, 9):
        other, batches, optimizer = start()
        train.fit(
            other, batches, next_loss, optimizer, steps=steps, folder=tmp_path, progress=quiet
        )
    assert same(weights(net), weights(other))
