"""The training loop: it does what a plain loop does, and says what is wrong."""

import time

import pytest
import torch
import training_run
from torch import nn
from training_run import quiet, same, stopping, weights

from rnnlib import checkpoint, schedules, train
from rnnlib.data.batches import Blocks
from rnnlib.nets.language_model import LanguageModel, next_loss


def plain_loop(net, batches, optimizer, steps, clip=None, accumulate=1):
    losses, state = [], None
    for step in range(steps):
        optimizer.zero_grad()
        total = 0
        for k in range(accumulate):
            loss, state = next_loss(net, batches(step * accumulate + k), state)
            state = tuple(part.detach() for part in state)
            (loss / accumulate).backward()
            total += loss.item() / accumulate
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        losses.append(total)
    return losses


@pytest.mark.parametrize(("clip", "accumulate"), [(None, 1), (0.1, 1), (0.1, 3)])
def test_it_does_what_a_plain_loop_does(clip, accumulate):
    net, batches, optimizer = training_run.parts()
    expected = plain_loop(net, batches, optimizer, 12, clip, accumulate)
    other, batches, optimizer = training_run.parts()
    history = train.fit(
        other, batches, next_loss, optimizer,
        steps=12, clip=clip, accumulate=accumulate, progress=quiet,
    )  # fmt: skip
    assert history.losses == pytest.approx(expected, rel=1e-6)
    assert all(
        torch.allclose(a, b, atol=1e-6) for a, b in zip(net.parameters(), other.parameters())
    )
    assert history.stopped == "all steps done"
    assert history.seconds > 0


def test_accumulated_batches_are_one_large_batch():
    ids = torch.randint(9, (500,), generator=torch.Generator().manual_seed(0))

    def after(B, accumulate):
        torch.manual_seed(0)
        net = LanguageModel(9, 8)
        small = Blocks(ids, 4, 5)

        def batch_at(k):
            if B == 4:
                return small(k)
            return tuple(torch.cat(parts) for parts in zip(*(small(2 * k + j) for j in (0, 1))))

        loss = lambda net, batch, state: (next_loss(net, batch, None)[0], None)  # noqa: E731
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
        train.fit(net, batch_at, loss, optimizer, steps=5, accumulate=accumulate, progress=quiet)
        return weights(net)

    large, accumulated = after(8, 1), after(4, 2)
    assert all(torch.allclose(large[k], accumulated[k], atol=1e-6) for k in large)


def test_the_schedule_multiplies_the_rate():
    net, batches, optimizer = training_run.parts(lr=0.25)
    seen = []

    def spy(net, batch, state):
        seen.append(optimizer.param_groups[0]["lr"])
        return next_loss(net, batch, state)

    train.fit(net, batches, spy, optimizer, steps=4, schedule=lambda k: 1 / (k + 1), progress=quiet)
    assert seen == [0.25, 0.125, 0.25 / 3, 0.0625]


def test_schedules():
    cosine = schedules.cosine(100, 10, end=0.1)
    assert [cosine(0), cosine(9), cosine(10)] == pytest.approx([0.1, 1, 1])
    assert cosine(55) == pytest.approx(0.55)
    assert cosine(100) == cosine(500) == pytest.approx(0.1)
    cycle = schedules.one_cycle(100, 0.3, 0.04, 0.001)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        torch.optim.SGD([torch.zeros(1)], lr=1), 1.0, 101, pct_start=31 / 101,
        div_factor=25, final_div_factor=40, cycle_momentum=False,
    )  # fmt: skip
    for step in range(101):
        assert cycle(step) == pytest.approx(reference.get_last_lr()[0], abs=1e-9)
        reference.optimizer.step()
        reference.step()
    assert schedules.constant()(7) == 1


def scripted(values):
    """An evaluation that gives these values, and a net whose weights tell which step it is."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    values = iter(values)
    loss = lambda net, batch, state: (-net.weight.sum(), None)  # noqa: E731
    return (
        net,
        lambda k: None,
        loss,
        torch.optim.SGD(net.parameters(), lr=1.0),
        (lambda net: next(values)),
    )


def test_early_stopping_keeps_the_best():
    net, batch_at, loss, optimizer, evaluate = scripted([3.0, 2.0, 2.5, 2.0, 1.0])
    history = train.fit(
        net, batch_at, loss, optimizer, steps=100, evaluate=evaluate, every=2, patience=2,
        progress=quiet,
    )  # fmt: skip
    assert history.evaluations == [(2, 3.0), (4, 2.0), (6, 2.5), (8, 2.0)]
    assert history.best == (4, 2.0)
    assert net.weight.item() == 4
    assert history.stopped == "no better for 2 evaluations"


def test_an_evaluation_may_leave_the_net_in_any_mode():
    net, batch_at, _, optimizer, _ = scripted([])
    modes = []

    def loss(net, batch, state):
        modes.append(net.training)
        return net.weight.sum(), None

    evaluate = lambda net: float(net.eval().training)  # noqa: E731
    train.fit(net, batch_at, loss, optimizer, steps=3, evaluate=evaluate, every=1, progress=quiet)
    assert modes == [True, True, True]
    assert net.training


def test_without_patience_the_last_weights_stay():
    net, batch_at, loss, optimizer, evaluate = scripted([3.0, 2.0, 2.5])
    train.fit(net, batch_at, loss, optimizer, steps=5, evaluate=evaluate, every=2, progress=quiet)
    assert net.weight.item() == 5


def test_an_early_stop_is_remembered(tmp_path):
    for batch_at in (lambda k: None, stopping(0)):
        net, _, loss, optimizer, evaluate = scripted([1.0, 2.0])
        history = train.fit(
            net, batch_at, loss, optimizer, steps=100, evaluate=evaluate, every=3, patience=1,
            folder=tmp_path, progress=quiet,
        )  # fmt: skip
        assert history.stopped == "no better for 1 evaluations"
        assert net.weight.item() == 3


def test_a_loss_that_is_not_finite_stops_at_its_step_and_spares_weights_and_checkpoints(tmp_path):
    net, batches, optimizer = training_run.parts()
    kept = {}

    def loss(net, batch, state):
        value, state = next_loss(net, batch, state)
        if len(kept) < 8:
            kept[len(kept)] = weights(net)
            return value, state
        return value * float("nan"), state

    with pytest.raises(train.TrainingError, match="the loss is nan at step 8; .* as they were"):
        train.fit(
            net, batches, loss, optimizer, steps=20, folder=tmp_path, save_every=3, progress=quiet
        )
    assert checkpoint.load(tmp_path)[0] == 6
    assert all(tensor.isfinite().all() for tensor in net.state_dict().values())
    assert not same(weights(net), kept[7])


def test_a_gradient_that_is_not_finite_stops_too():
    net = nn.Linear(1, 1, bias=False)
    nn.init.ones_(net.weight)
    loss = lambda net, batch, state: ((net.weight - 1).abs().sqrt().sum(), None)  # noqa: E731
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    with pytest.raises(train.TrainingError, match="gradient's norm is (nan|inf) at step 0"):
        train.fit(net, lambda k: None, loss, optimizer, steps=3, clip=1.0, progress=quiet)
    assert net.weight.item() == 1


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_out_of_memory_names_the_knobs(error):
    net, batches, optimizer = training_run.parts()

    def loss(net, batch, state):
        raise error

    with pytest.raises(train.TrainingError, match="(?s)ran out at step 0: .*accumulate.*smaller H"):
        train.fit(net, batches, loss, optimizer, steps=2, progress=quiet)


def test_other_errors_pass_unchanged():
    net, batches, optimizer = training_run.parts()
    with pytest.raises(RuntimeError, match="^mine$"):
        train.fit(net, batches, fail, optimizer, steps=2, progress=quiet)


def fail(net, batch, state):
    raise RuntimeError("mine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 2.5}, "steps, an integer of at least 0, got 2.5"),
        ({"steps": 2, "accumulate": 0}, "accumulate, an integer of at least 1, got 0"),
        ({"steps": 2, "patience": 1}, "patience counts evaluations"),
        ({"steps": 2, "precision": "fp16"}, "precision among"),
    ],
)
def test_bad_options_are_named(options, message):
    net, batches, optimizer = training_run.parts()
    with pytest.raises(ValueError, match=message):
        train.fit(net, batches, next_loss, optimizer, progress=quiet, **options)


def test_bfloat16_follows_float32():
    losses = {}
    for precision in ("float32", "bfloat16"):
        net, batches, optimizer = training_run.parts(H=16)
        losses[precision] = train.fit(
            net, batches, next_loss, optimizer, steps=20, precision=precision, clip=1.0,
            progress=quiet,
        ).losses  # fmt: skip
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], abs=0.05)


def regression(net, batch, state):
    x = torch.linspace(-1, 1, 8)[:, None]
    return (net(x).float() - 3 * x - 1).square().mean() * batch, None


def test_float16_scales_the_loss_and_leaves_out_what_overflows(tmp_path):
    """The scale starts at 65536: gradients above 1 overflow until it has been halved."""

    def run(steps, folder=None):
        net = nn.Linear(1, 1)
        nn.init.zeros_(net.weight)
        nn.init.zeros_(net.bias)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.001)
        history = train.fit(
            net, lambda k: 100.0, regression, optimizer, steps=steps, precision="float16",
            clip=200.0, folder=folder, save_every=1, progress=quiet,
        )  # fmt: skip
        return weights(net), history

    net, history = run(60)
    skipped = sum(a == b for a, b in zip(history.losses, history.losses[1:]))
    assert 1 <= skipped <= 12
    assert history.losses[-1] < 0.05 * history.losses[0]
    run(3, tmp_path)
    resumed, again = run(60, tmp_path)
    assert same(net, resumed)
    assert again.losses == history.losses


def test_float16_on_the_cpu_is_explained():
    net, batches, optimizer = training_run.parts()
    with pytest.raises(train.TrainingError, match="float16 .* on the CPU.*bfloat16"):
        train.fit(net, batches, next_loss, optimizer, steps=2, precision="float16", progress=quiet)


def test_a_long_run_keeps_no_graph():
    """The carried state is cut off: memory after many steps is that after a few."""
    net, batches, optimizer = training_run.parts()
    alive = []

    def loss(net, batch, state):
        alive.append(sum(isinstance(x, torch.Tensor) for x in _graph(state)))
        return next_loss(net, batch, state)

    train.fit(net, batches, loss, optimizer, steps=5, progress=quiet)
    assert alive == [0, 2, 2, 2, 2]


def _graph(state):
    return [] if state is None else [part for part in state if part.grad_fn is None]


def test_it_costs_at_most_a_twentieth_more_than_a_plain_loop():
    """Processor time, which other programs on the machine hardly change; the best of several."""
    torch.manual_seed(0)
    ids = torch.randint(65, (200_000,))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    net = LanguageModel(65, 128)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    batches = Blocks(ids, 16, 64)

    def loss(net, batch, state):
        return next_loss(net, batch, None)

    def bare():
        for step in range(12):
            value, _ = loss(net, batches(step), None)
            value.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            value.item()

    def fitted():
        train.fit(net, batches, loss, optimizer, steps=12, clip=1.0, progress=quiet)

    times = {bare: [], fitted: []}
    try:
        for _ in range(12):
            for function, found in times.items():
                began = time.process_time()
                function()
                found.append(time.process_time() - began)
    finally:
        torch.set_num_threads(threads)
    assert min(times[fitted]) < 1.05 * min(times[bare])
