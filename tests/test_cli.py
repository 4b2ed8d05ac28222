"""The command line, on a small checkout made for the test."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_course import code, contents, executed, write_chapter

from rnnlib import machine, normal, notebooks, results, runner
from rnnlib.__main__ import main

# run


def test_run_shows_but_changes_nothing(root, capfd):
    before = contents(root)
    assert main(["run", "1", "--scale", "cpu", "--seeds", "2"]) == 0
    out = capfd.readouterr().out
    assert contents(root) == before
    assert out.count("[ 3/5]") == 2
    assert out.count("\nhello from a cell") == 2
    assert re.search(r"twice +1 \[.*\], 2 values", out)  # 2 * SEED for the seeds 0 and 1
    assert re.search(r"pass +1 +< 5 +seed is small", out)  # the worst of both
    assert list(root.parent.glob("rnnlib-*")) == []


def test_run_and_save(root, capfd):
    assert main(["run", "tiny", "--scale", "cpu", "--save"]) == 0
    out = capfd.readouterr().out
    path = root / "notebooks" / "01_tiny.ipynb"
    saved = notebooks.read(path)
    assert not normal.format_file(path, check=True)
    outputs = "".join(
        "".join(o.get("text", "")) for c in saved["cells"] for o in c.get("outputs", [])
    )
    assert "scale cpu · device cpu · seed 0" in outputs
    assert "results in book/results/cpu/01_tiny.json" in outputs
    assert "hello from a cell" in outputs
    assert "injected-parameters" not in path.read_text()
    assert 'SCALE = "auto"' in saved["cells"][1]["source"]
    assert notebooks.machine_paths(saved) == []
    result = results.load(root, "cpu", "01_tiny")
    assert result["code_sha256"] == notebooks.code_hash(path)
    assert result["seeds"] == [0]
    assert "~0:" not in out
    assert main(["run", "01_tiny", "--scale", "cpu"]) == 0
    assert "~0:00 left" in capfd.readouterr().out  # now there is a time to go by


@pytest.mark.parametrize(
    ("cell", "claim", "number", "expected"),
    [
        ("1 / 0", "", 3, "ZeroDivisionError: division by zero"),
        ("x = 1", "run.claim('bits', 3, below=2)", 4, "ClaimError: bits: expected < 2, got 3"),
        ("import os\nos._exit(3)", "", 3, "DeadKernelError"),
    ],
    ids=["crash", "claim", "dead kernel"],
)
def test_run_that_fails_saves_nothing_and_keeps_the_notebook(
    root, capfd, cell, claim, number, expected
):
    write_chapter(root, "02_bad", code(cell), claim=claim)
    before = contents(root)
    assert main(["run", "2", "--scale", "cpu", "--seeds", "2", "--save"]) == 1
    out, err = capfd.readouterr()
    assert contents(root) == before
    assert f"code cell {number} of 5" in err
    assert expected in err
    kept = Path(re.search(r"executed notebook is in (.+\.ipynb)", err)[1])
    assert notebooks.read(kept)["cells"]
    assert "seed 1" not in out  # the second run was not begun
    if claim:
        assert re.search(r"fail +3 +< 2 +bits", out)  # the table up to there


def test_run_without_finish(root, capfd):
    path = write_chapter(root, "02_open")
    notebook = notebooks.read(path)
    del notebook["cells"][-1]
    normal.write_normal(path, notebook)
    assert main(["run", "open", "--scale", "cpu"]) == 1
    assert "is run.finish() its last cell?" in capfd.readouterr().err


def test_unknown_chapter_gives_the_list(root, capsys):
    write_chapter(root, "02_other")
    assert main(["run", "7"]) == 1
    assert "no chapter '7'; there are: 01_tiny, 02_other" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", ["01", "1", "tiny", "01_tiny", "01_tiny.ipynb"])
def test_chapter_by_number_or_name(root, wanted):
    assert notebooks.find_chapter(root, wanted).stem == "01_tiny"


def no_kernel(*arguments, **options):
    raise AssertionError("a notebook was executed")


def test_unknown_scale(root, capsys, monkeypatch):
    monkeypatch.setattr(runner, "execute", no_kernel)
    with pytest.raises(SystemExit) as caught:
        main(["run", "1", "--scale", "huge"])
    assert caught.value.code == 2
    assert "choose from" in capsys.readouterr().err
    monkeypatch.setenv("RNNLIB_SCALE", "huge")
    assert main(["run", "1"]) == 1
    assert "RNNLIB_SCALE" in capsys.readouterr().err


def test_gpu_without_cuda_runs_nothing(root, capsys, monkeypatch):
    monkeypatch.setattr(machine, "has_cuda", lambda: False)
    monkeypatch.setattr(runner, "execute", no_kernel)
    assert main(["run", "1", "--scale", "gpu"]) == 1
    assert "no CUDA device" in capsys.readouterr().err


def test_smoke_is_not_saved(root, capsys, monkeypatch):
    monkeypatch.setattr(runner, "execute", no_kernel)
    assert main(["run", "1", "--scale", "smoke", "--save"]) == 1
    assert "nothing at smoke scale is saved" in capsys.readouterr().err


@pytest.mark.parametrize("seeds", ["0", "-1", "x"])
def test_seeds_must_be_positive(root, seeds, capsys):
    with pytest.raises(SystemExit):
        main(["run", "1", "--seeds", seeds])
    assert "--seeds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"data": {"verses": "stand-in", "other": "ab"}}, "stand-in for verses"),
        ({"code_sha256": "00"}, "was changed during the run"),
        ({"text": "see /home/ada/x\n"}, "paths of this machine: /home/ada"),
    ],
    ids=["stand-in", "changed", "machine path"],
)
def test_what_is_not_fit_to_be_saved(root, case, expected):
    before = contents(root)
    with pytest.raises(runner.ChapterError, match=expected):
        runner._save(root, *executed(root, **case))
    assert contents(root) == before


def test_gpu_results_leave_the_outputs_alone(root):
    path, result, copy = executed(root, scale="gpu")
    before = path.read_bytes()
    runner._save(root, path, result, copy)
    assert path.read_bytes() == before
    assert results.load(root, "gpu", "01_tiny") == result


def test_full_disk_while_saving_names_what_was_kept(root, monkeypatch, capsys):
    _, result, copy = executed(root)

    def fake(path, folder, *rest):
        (folder / "seed0.ipynb").write_bytes(copy.read_bytes())
        return result

    def full(old, new):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runner, "execute", fake)
    monkeypatch.setattr(notebooks.os, "replace", full)
    before = contents(root)
    assert main(["run", "1", "--scale", "cpu", "--save"]) == 1
    err = capsys.readouterr().err
    assert "not saved: [Errno 28] No space left on device" in err
    assert contents(root) == before
    assert (Path(re.search(r"notebooks are in (\S+)", err)[1]) / "seed0.ipynb").exists()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def show(stream):
    from types import SimpleNamespace

    live = runner.Live(2, 60, stream)
    live.cell(SimpleNamespace(cell_type="markdown", source="# x", metadata={}))
    live.cell(Cell("\n# Train it.\ntrain()"))
    for piece in ("\r 10%|#   |", "\r 90%|####|", "\r          \r", "loss", " 0.5\npart"):
        live.write(piece)
        live.flush()
    live.cell(Cell("run.finish()"))
    return stream.getvalue()


class Cell(dict):
    """Stands in for nbformat's dictionary."""

    cell_type = "code"

    def __init__(self, source):
        super().__init__(metadata={})
        self.source = source


def test_live_in_a_file_shows_lines_alone():
    assert show(io.StringIO()).splitlines() == [
        "[ 1/2] 0:00 ~0:59 left  Train it.",
        "loss 0.5",
        "part",
        "[ 2/2] 0:00 ~0:59 left  run.finish()",
    ]


def test_live_in_a_terminal_passes_the_bar_on():
    text = show(Terminal())
    assert "\r 90%|####|" in text
    assert normal.as_on_screen(text).splitlines()[1:3] == ["loss 0.5", "part"]


# results, data


def test_results_page(root, capsys):
    assert main(["results"]) == 0
    assert (root / "book" / "results.md").read_text() == results.page(root)


def test_data_list(data_sets, capsys):
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"verses +1\.1 MB +cache +public domain", out)
    assert re.search(r"names +1\.1 MB +in part", out)
    assert "https://x.org/a" in out
    assert "About names." in out


def test_data_fetch(data_sets, capsys):
    assert main(["data", "fetch", "names"]) == 0
    assert capsys.readouterr().out == "names.txt\n"
    assert main(["data", "fetch"]) == 0
    assert capsys.readouterr().out == "verses.txt\nnames.txt\n"
    assert main(["data", "fetch", "shakespeare"]) == 1
    assert "no data set 'shakespeare'; there are: verses, names" in capsys.readouterr().err


# format


def test_format(root, capsys):
    path = root / "notebooks" / "01_tiny.ipynb"
    good = path.read_bytes()
    assert main(["format", "--check"]) == 0
    path.write_bytes(good.replace(b' "nbformat": 4', b' "nbformat":  4'))
    assert main(["format", "--check"]) == 1
    assert "not in normal form" in capsys.readouterr().out
    assert main(["format", str(path)]) == 0
    assert path.read_bytes() == good


def test_format_reports_what_it_cannot_mend(root, capsys):
    write_chapter(root, "02_path", code("open('/home/ada/x')"))
    assert main(["format"]) == 1
    assert "02_path.ipynb: cell 4 shows a path of one machine: /home/ada" in capsys.readouterr().out


def test_format_of_something_else(root, capsys):
    assert main(["format", "README.md"]) == 1
    assert "README.md is not a notebook" in capsys.readouterr().err


# The program


def test_outside_a_checkout(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(notebooks, "__file__", str(tmp_path / "rnnlib" / "notebooks.py"))
    assert main(["results"]) == 1
    assert "expected to be inside a checkout" in capsys.readouterr().err


def test_help_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "rnnlib", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("run", "results", "data", "bench", "doctor", "format", "repository"):
        assert command in done.stdout


def test_missing_package_points_to_the_doctor(root, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "papermill", None)
    assert main(["run", "1", "--scale", "cpu"]) == 1
    assert "papermill: pip install" in capsys.readouterr().err
