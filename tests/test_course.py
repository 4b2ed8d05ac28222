"""rnnlib.course: scales, seeds, claims and the results file."""

import json
import math
import os
import random
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rnnlib import course, machine

KEYS = [
    "chapter",
    "scale",
    "device",
    "versions",
    "seeds",
    "wall_s",
    "peak_mb",
    "code_sha256",
    "data",
    "metrics",
    "claims",
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNNLIB_SCALE", raising=False)
    monkeypatch.setenv("RNNLIB_RESULTS", str(tmp_path / "out"))


@pytest.fixture
def gpu(monkeypatch):
    """Pretend to have a GPU."""
    monkeypatch.setattr(machine, "has_cuda", lambda: True)
    monkeypatch.setattr(machine, "device_name", lambda device="cpu": "Pretended T4")
    monkeypatch.setattr(machine, "peak_mb", lambda device="cpu": 7)


def loader(standin=False):
    return SimpleNamespace(name="verses", standin=standin, sha256="ab" * 32)


def offline_loader(standin=False):
    return loader(standin=True)


def written(tmp_path, scale="cpu", chapter="03_bptt"):
    return json.loads((tmp_path / "out" / scale / f"{chapter}.json").read_text())


# Scale and seed


def test_scale_auto_is_cpu_without_cuda_and_gpu_with(monkeypatch):
    monkeypatch.setattr(machine, "has_cuda", lambda: False)
    assert course.resolve_scale() == "cpu"
    monkeypatch.setattr(machine, "has_cuda", lambda: True)
    assert course.resolve_scale() == "gpu"


def test_environment_decides_auto_only(monkeypatch):
    monkeypatch.setenv("RNNLIB_SCALE", "smoke")
    assert course.resolve_scale("auto") == "smoke"
    assert course.resolve_scale("cpu") == "cpu"


@pytest.mark.parametrize("scale", ["large", "", "CPU", None])
def test_unknown_scale(scale):
    with pytest.raises(ValueError, match=r"SCALE to be auto, smoke, cpu or gpu"):
        course.start("03_bptt", scale=scale)


def test_unknown_scale_in_environment_is_named(monkeypatch):
    monkeypatch.setenv("RNNLIB_SCALE", "huge")
    with pytest.raises(ValueError, match=r"RNNLIB_SCALE.*'huge'"):
        course.start("03_bptt")


def test_gpu_without_cuda_says_what_to_do(monkeypatch):
    monkeypatch.setattr(machine, "has_cuda", lambda: False)
    with pytest.raises(ValueError, match=r"no CUDA device.*Runtime"):
        course.start("03_bptt", scale="gpu")


@pytest.mark.parametrize("chapter", ["", "../03_bptt", "a/b", "C:\\x"])
def test_unusable_chapter_name(chapter):
    with pytest.raises(ValueError, match="chapter's name"):
        course.start(chapter, scale="cpu")


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "0", True, None])
def test_unusable_seed(seed):
    with pytest.raises(ValueError, match="seed"):
        course.start("03_bptt", scale="cpu", seed=seed)


def test_seed_settles_every_generator():
    torch = pytest.importorskip("torch")

    def draw(seed):
        course.start("03_bptt", scale="cpu", seed=seed)
        return random.random(), np.random.rand(), torch.rand(1).item()

    first, again, other = draw(3), draw(3), draw(4)
    assert first == again
    assert all(a != b for a, b in zip(first, other))


def test_start_prints_one_line(capsys):
    course.start("03_bptt", scale="smoke", seed=5)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    for word in ("03_bptt", "scale smoke", "device cpu", "seed 5", f"numpy {np.__version__}"):
        assert word in out


def test_pick():
    choices = {"smoke": 1, "cpu": 2, "gpu": 3}
    assert course.start("03_bptt", scale="smoke").pick(**choices) == 1
    assert course.start("03_bptt", scale="cpu").pick(**choices) == 2


def test_pick_at_gpu(gpu):
    run = course.start("03_bptt", scale="gpu")
    assert run.pick(smoke=1, cpu=2, gpu=3) == 3
    assert run.pick(smoke=1, cpu=2, gpu=None) is None
    assert run.pick(smoke=1, cpu=2) == 2


def test_numpy_only_needs_no_torch_and_reports_the_cpu_at_every_scale(gpu):
    run = course.start("03_bptt", scale="gpu", numpy_only=True)
    assert run.device == "cpu"
    assert course.start("06_x", scale="gpu").device == "cuda"
    code = (
        "import sys; from rnnlib import course; course.start('a', 'cpu', numpy_only=True); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# Claims


def fails(run, text="bits per character", value=2.75, **bound):
    with pytest.raises(course.ClaimError) as caught:
        run.claim(text, value, **(bound or {"below": 2.5}))
    return str(caught.value)


@pytest.mark.parametrize("scale", ["cpu", "gpu"])
def test_failed_claim_raises_with_text_value_and_bound(scale, gpu, tmp_path):
    message = fails(course.start("03_bptt", scale=scale))
    assert "bits per character" in message
    assert "2.75" in message
    assert "< 2.5" in message
    (claim,) = written(tmp_path, scale)["claims"]  # written before the error was raised
    assert claim == {
        "text": "bits per character",
        "value": 2.75,
        "bound": "< 2.5",
        "status": "fail",
    }


@pytest.mark.parametrize("bound", ["below", "at_most", "above", "at_least", "equals"])
@pytest.mark.parametrize("value", [1.0, 2.0, 3.0])
def test_bounds(bound, value):
    run = course.start("03_bptt", scale="cpu")
    holds = {
        "below": value < 2,
        "at_most": value <= 2,
        "above": value > 2,
        "at_least": value >= 2,
        "equals": value == 2,
    }[bound]
    if holds:
        run.claim("x", value, **{bound: 2})
        assert run.results()["claims"][0]["status"] == "pass"
    else:
        fails(run, value=value, **{bound: 2})


@pytest.mark.parametrize(
    ("scale", "load"), [("smoke", None), ("smoke", loader), ("cpu", offline_loader)]
)
def test_claims_are_not_checked_at_smoke_or_on_a_standin(scale, load, capsys, tmp_path):
    run = course.start("03_bptt", scale=scale)
    if load:
        assert run.load(load).standin
    run.claim("holds", 1, below=2)
    run.claim("does not hold", 3, below=2)
    run.finish()
    out = capsys.readouterr().out
    assert "claim, not checked: 3 < 2: does not hold" in out
    assert "0 of 2 claims checked" in out
    result = written(tmp_path, scale)
    assert [c["status"] for c in result["claims"]] == ["not checked"] * 2  # never passed
    assert result["data"] == ({"verses": "stand-in"} if load else {})


def test_claims_are_checked_on_real_data(tmp_path):
    run = course.start("03_bptt", scale="cpu")
    run.load(loader)
    fails(run)
    assert written(tmp_path)["data"] == {"verses": "ab" * 32}


@pytest.mark.parametrize("scale", ["smoke", "cpu", "gpu"])
def test_exact_claims_are_checked_everywhere(scale, gpu):
    run = course.start("03_bptt", scale=scale)
    run.load(offline_loader)
    run.claim("shapes agree", True, equals=True, exact=True)
    assert run.results()["claims"][0]["status"] == "pass"
    fails(run, "gradients agree", 0.5, below=1e-7, exact=True)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("scale", ["smoke", "cpu"])
def test_not_a_finite_number(value, scale):
    run = course.start("03_bptt", scale=scale)
    with pytest.raises(ValueError, match=r"loss: expected a finite number, got .*diverge"):
        run.claim("loss", value, below=1)
    with pytest.raises(ValueError, match="loss: expected a finite number"):
        run.claim("loss", 1.0, below=value)
    with pytest.raises(ValueError, match="bpc: expected a finite number"):
        run.record("bpc", [1.0, value])
    assert run.results()["claims"] == []


@pytest.mark.parametrize("bound", [{}, {"under": 1}, {"below": 1, "above": 0}])
def test_exactly_one_known_bound(bound):
    with pytest.raises(TypeError, match="exactly one of below, at_most"):
        course.start("03_bptt", scale="cpu").claim("x", 1, **bound)


def test_claim_made_again_replaces_the_first():
    run = course.start("03_bptt", scale="cpu")
    fails(run)
    run.claim("bits per character", 2.0, below=2.5)
    (claim,) = run.results()["claims"]
    assert claim["status"] == "pass"


def test_finish_after_a_failure_does_not_say_that_all_hold(capsys):
    run = course.start("03_bptt", scale="cpu")
    fails(run)
    run.finish()
    out = capsys.readouterr().out
    assert "1 FAILED" in out
    assert "all hold" not in out


# The results file


def test_results_file(tmp_path, capsys):
    run = course.start("03_bptt", scale="cpu", seed=4)
    run.load(loader)
    run.record("rnn_bpc", 2.5)
    run.record("by_seed", np.array([1.0, 2.0, 3.0], np.float32))
    run.claim("a < b", np.float32(0.5), at_most=1)
    table = run.finish()
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 of 1 claims checked, all hold")
    result = written(tmp_path)
    assert list(result) == KEYS
    assert (result["chapter"], result["scale"], result["seeds"]) == ("03_bptt", "cpu", [4])
    assert "core" in result["device"]
    assert {"python", "rnnlib", "numpy", "torch"} <= set(result["versions"])
    assert 0 <= result["wall_s"] < 60
    assert 10 < result["peak_mb"] < 100_000
    assert result["metrics"]["rnn_bpc"] == {
        "mean": 2.5,
        "low": None,
        "high": None,
        "values": [2.5],
    }
    assert set(result["metrics"]["by_seed"]) == {"mean", "low", "high", "values"}
    assert result["claims"] == [{"text": "a < b", "value": 0.5, "bound": "<= 1", "status": "pass"}]
    assert "a &lt; b" in table._repr_html_()
    assert "pass" in repr(table)


def test_nothing_recorded_is_an_error():
    with pytest.raises(ValueError, match="at least one value for 'bpc'"):
        course.start("03_bptt", scale="cpu").record("bpc", [])


def test_results_name_the_notebook_they_belong_to(tmp_path):
    assert course.start("03_bptt", scale="cpu").results()["code_sha256"] is None
    cell = {"cell_type": "code", "metadata": {}, "source": "1 + 1"}
    (tmp_path / "03_bptt.ipynb").write_text(json.dumps({"cells": [cell], "nbformat": 4}))
    assert len(course.start("03_bptt", scale="cpu").results()["code_sha256"]) == 64


def test_where_results_go(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RNNLIB_RESULTS")
    course.start("03_bptt", scale="cpu").finish()
    assert (tmp_path / "results" / "cpu" / "03_bptt.json").exists()  # nowhere in particular
    (tmp_path / "_config.yml").touch()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "03_bptt.ipynb").write_text('{"cells": [], "nbformat": 4}')
    monkeypatch.chdir(tmp_path / "notebooks")
    course.start("03_bptt", scale="cpu").finish()
    assert (tmp_path / "book" / "results" / "cpu" / "03_bptt.json").exists()  # in a checkout
    assert "results in book/results/cpu/03_bptt.json" in capsys.readouterr().out


def test_printed_place_is_no_machine_path(tmp_path, capsys, monkeypatch):
    course.start("03_bptt", scale="cpu").finish()
    monkeypatch.setenv("RNNLIB_RESULTS", str(tmp_path / "book" / "results"))
    course.start("03_bptt", scale="cpu").finish()
    out = capsys.readouterr().out
    assert str(tmp_path) not in out
    assert "results in book/results/cpu/03_bptt.json" in out


def test_writing_is_atomic(tmp_path, monkeypatch, capsys):
    run = course.start("03_bptt", scale="cpu")
    run.finish()
    before = written(tmp_path)
    run.record("bpc", 1)

    def full(self, text, **options):
        with open(self, "w") as file:
            file.write(text[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(course.Path, "write_text", full)
        run.finish()
        out = capsys.readouterr().out
        message = fails(run)  # the claim's error, not the disk's
    assert "No space left on device" in out
    assert "results NOT written" in out
    assert "bits per character" in message
    assert written(tmp_path) == before  # the old file is whole
    assert [p.name for p in (tmp_path / "out" / "cpu").iterdir()] == ["03_bptt.json"]
    assert run.results()["metrics"]["bpc"]["mean"] == 1
    run.finish()  # once there is room, nothing is lost
    assert written(tmp_path)["metrics"]["bpc"]["mean"] == 1


def test_new_results_appear_all_at_once(tmp_path, monkeypatch, capsys):
    run = course.start("03_bptt", scale="cpu")
    run.finish()
    before = written(tmp_path)
    run.record("bpc", 1)

    def refuse(self, target):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(course.Path, "replace", refuse)  # the last step, after the writing
    run.finish()
    assert written(tmp_path) == before
    assert "results NOT written" in capsys.readouterr().out


def test_results_folder_that_cannot_be_made(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RNNLIB_RESULTS", str(tmp_path / "file" / "results"))
    run = course.start("03_bptt", scale="cpu")
    run.claim("holds", 1, below=2)
    table = run.finish()
    out = capsys.readouterr().out
    assert "note: could not write RNNLIB_RESULTS/cpu/03_bptt.json" in out
    assert "results NOT written" in out
    assert table.claims[0]["status"] == "pass"


@pytest.mark.skipif(os.name == "nt" or getattr(os, "geteuid", lambda: 0)() == 0, reason="as root")
def test_read_only_results_folder(tmp_path, capsys):
    (tmp_path / "out").mkdir(mode=0o500)
    course.start("03_bptt", scale="cpu").finish()
    assert "Permission denied" in capsys.readouterr().out


# Progress


def test_progress_yields_all_and_leaves_nothing(capsys):
    from rnnlib.normal import as_on_screen

    run = course.start("03_bptt", scale="cpu")
    capsys.readouterr()
    assert list(run.progress(range(3), "training")) == [0, 1, 2]
    captured = capsys.readouterr()
    assert "training" in captured.out
    assert captured.err == ""
    assert as_on_screen(captured.out).strip() == ""
