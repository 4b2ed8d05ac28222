"""rnnlib.results, and the results that are committed."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest

from rnnlib import notebooks, results

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = sorted((ROOT / "book" / "results").glob("[cg]pu/*.json"))


def result(seed=0, bpc=2.4, status="pass", **other):
    return {
        "chapter": "01_tiny",
        "scale": "cpu",
        "device": "A CPU, 2 cores",
        "versions": {"python": "3.13.0"},
        "seeds": [seed],
        "wall_s": 10.0 + seed,
        "peak_mb": 100 + seed,
        "code_sha256": "cd" * 32,
        "data": {"verses": "ab" * 32},
        "metrics": {"rnn_bpc": results.summarise([bpc])},
        "claims": [{"text": "low", "value": bpc, "bound": "< 2.5", "status": status}],
        **other,
    }


@pytest.fixture
def root(tmp_path):
    (tmp_path / "notebooks").mkdir()
    cell = '{"cell_type": "markdown", "metadata": {}, "source": "# A *tiny* chapter"}'
    text = f'{{"cells": [{cell}], "nbformat": 4}}'
    (tmp_path / "notebooks" / "01_tiny.ipynb").write_text(text)
    return tmp_path


# Summaries


def test_summary_of_one_value_has_no_interval():
    assert results.summarise([2]) == {"mean": 2.0, "low": None, "high": None, "values": [2.0]}


def test_interval_is_students():
    # By hand: mean 2, standard deviation 1, t(2 degrees of freedom, 0.975) = 4.30265.
    got = results.summarise([1, 2, 3])
    np.testing.assert_allclose(
        [got["low"], got["high"]], 2 + np.array([-1, 1]) * 4.30265 / 3**0.5, 1e-5
    )


def test_interval_covers_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(5, 2, (2000, 3))
    hits = [s["low"] < 5 < s["high"] for s in map(results.summarise, draws)]
    assert 0.935 < np.mean(hits) < 0.965


def test_no_values():
    with pytest.raises(ValueError, match="at least one"):
        results.summarise([])


# Merging


def test_merge_of_one_run_is_that_run():
    assert results.merge([result()]) == result()


def test_merge():
    merged = results.merge([result(0, 2.2), result(1, 2.45), result(2, 2.3)])
    assert merged["seeds"] == [0, 1, 2]
    assert merged["wall_s"] == 11.0
    assert merged["peak_mb"] == 102
    assert merged["metrics"]["rnn_bpc"]["values"] == [2.2, 2.45, 2.3]
    assert merged["metrics"]["rnn_bpc"]["low"] < merged["metrics"]["rnn_bpc"]["mean"]
    assert merged["claims"] == [{"text": "low", "value": 2.45, "bound": "< 2.5", "status": "pass"}]


@pytest.mark.parametrize(
    ("sign", "worst"),
    [("<", 3.0), ("<=", 3.0), (">", 1.0), (">=", 1.0), ("==", 3.0)],
)
def test_worst_value_is_the_one_nearest_to_failing(sign, worst):
    runs = []
    for value in (1.0, 3.0, 2.0):
        run = result()
        run["claims"] = [{"text": "x", "value": value, "bound": f"{sign} 1.5", "status": "pass"}]
        runs.append(run)
    (claim,) = results.merge(runs)["claims"]
    assert claim["value"] == worst


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "not checked"], "not checked"),
        (["not checked", "fail"], "fail"),
        (["fail", "pass"], "fail"),
    ],
)
def test_worst_status_wins(statuses, expected):
    runs = [result(seed, status=status) for seed, status in enumerate(statuses)]
    assert results.merge(runs)["claims"][0]["status"] == expected


def test_claims_and_metrics_that_one_run_lacks_are_kept():
    other = result(1)
    other["metrics"] = {"extra": results.summarise([1.0])}
    other["claims"] = [{"text": "other", "value": 1.0, "bound": "> 0", "status": "pass"}]
    merged = results.merge([result(), other])
    assert list(merged["metrics"]) == ["rnn_bpc", "extra"]
    assert [c["text"] for c in merged["claims"]] == ["low", "other"]


@pytest.mark.parametrize("key", ["chapter", "scale", "device", "versions", "code_sha256", "data"])
def test_runs_that_differ_in_more_than_the_seed(key):
    with pytest.raises(ValueError, match=f"{key}.*changed between the runs"):
        results.merge([result(), result(1, **{key: "another"})])


def test_merge_leaves_its_input_alone():
    runs = [result(0), result(1)]
    before = copy.deepcopy(runs)
    results.merge(runs)
    assert runs == before


# Files and the page


def test_save_and_load(root):
    assert results.load(root, "cpu", "01_tiny") is None
    path = results.save(root, result())
    assert path == root / "book" / "results" / "cpu" / "01_tiny.json"
    assert results.load(root, "cpu", "01_tiny") == result()
    assert [p.name for p in path.parent.iterdir()] == ["01_tiny.json"]
    path.write_text(path.read_text()[:40])
    with pytest.raises(ValueError, match=r"01_tiny\.json is not a results file"):
        results.load(root, "cpu", "01_tiny")


def test_write_whole_keeps_the_old_file_if_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "page.md"
    path.write_text("old")

    def full(old, new):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(notebooks.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        notebooks.write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def rows(page, columns=3):
    lines = [line for line in page.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert {len(row) for row in cells} == {columns}
    return {row[0].strip(): [c.strip() for c in row[1:]] for row in cells}


def test_page_of_a_chapter_that_was_never_run(root):
    page = results.page(root)
    assert "## Chapter 1. A *tiny* chapter" in page
    assert rows(page)["hardware"] == ["*missing*"] * 2
    assert rows(page)["again with"] == [
        "`python -m rnnlib run 01 --scale cpu`",
        "`python -m rnnlib run 01 --scale gpu`",
    ]


def test_page_of_a_chapter_without_pytorch_has_no_gpu_column(root):
    path = root / "notebooks" / "01_tiny.ipynb"
    path.write_text(path.read_text().replace('chapter"', ' chapter, numpy_only=True"'))
    page = results.page(root)
    assert "uses no GPU" in page
    assert rows(page, columns=2)["hardware"] == ["*missing*"]


def test_page_shows_everything_and_what_is_missing(root):
    results.save(root, results.merge([result(0, 2.2), result(1, 2.45), result(2, 2.3)]))
    gpu = result(scale="gpu", device="Tesla T4")
    gpu["claims"] = [{"text": "a|b < $c$", "value": 1.0, "bound": "> 0", "status": "pass"}]
    gpu["metrics"]["only_gpu"] = results.summarise([7.0])
    results.save(root, gpu)
    shown = rows(results.page(root))
    assert shown["hardware"] == ["A CPU, 2 cores", "Tesla T4"]
    assert shown["wall time"] == ["11 s", "10 s"]
    assert shown["peak memory"] == ["102 MB", "100 MB"]
    assert shown["seeds"] == ["0, 1, 2", "0"]
    assert shown["data (sha256)"][0] == "verses `abababababab`"
    assert shown["versions"][0] == "python 3.13.0"
    assert shown[r"rnn\_bpc"][0] == "2.317 [2.004, 2.629], 3 values"
    assert shown[r"rnn\_bpc"][1] == "2.4"
    assert shown[r"only\_gpu"] == ["*missing*", "7"]
    assert shown["low"] == [r"2.45 (\< 2.5), pass", "*missing*"]
    assert shown[r"a\|b \< \$c\$"] == ["*missing*", r"1 (\> 0), pass"]
    assert shown["again with"][0] == "`python -m rnnlib run 01 --scale cpu --seeds 3`"


# What is committed


def test_every_chapter_has_committed_results():
    have = {path.stem for path in COMMITTED if path.parent.name == "cpu"}
    chapters = {path.stem for path in notebooks.chapters(ROOT)}
    assert len(chapters) >= 2
    assert chapters <= have, f"run these with --scale cpu --save: {sorted(chapters - have)}"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_committed_results_belong_to_this_code(path):
    notebook = ROOT / "notebooks" / f"{path.stem}.ipynb"
    assert notebook.exists(), f"{path.name} belongs to no chapter"
    got = results.read(path)
    assert (got["chapter"], got["scale"]) == (path.stem, path.parent.name)
    assert got["code_sha256"] == notebooks.code_hash(notebook), (
        f"{notebook.name} has changed since it was run: "
        f"{results.command(path.stem, got['scale'], len(got['seeds']))} --save"
    )


@pytest.mark.parametrize("path", COMMITTED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_committed_claims_were_checked_and_hold(path):
    got = results.read(path)
    assert got["claims"]
    assert {claim["status"] for claim in got["claims"]} == {"pass"}
    assert "stand-in" not in got["data"].values()
    assert got["metrics"]


def test_committed_page_is_what_the_command_writes():
    page = (ROOT / "book" / "results.md").read_text(encoding="utf8")
    assert page == results.page(ROOT), "run: python -m rnnlib results"
