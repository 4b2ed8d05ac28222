"""The command line, on a small checkout made for the test."""

import hashlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlib import address, course, data, doctor, machine, normal, notebooks, results, runner
from rnnlib.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
URL = "https://github.com/rnn-executed/rnn-executed"


def code(source, *tags):
    return {
        "cell_type": "code",
        "id": f"c{hashlib.sha256(source.encode()).hexdigest()[:6]}",
        "metadata": {"tags": list(tags)} if tags else {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def write_chapter(root, name, *cells, claim="run.claim('seed is small', SEED, below=5)"):
    start = f"run = course.start('{name}', scale=SCALE, seed=SEED, numpy_only=True)"
    setup = f"from rnnlib import course\n{start}"
    intro = f"# A tiny chapter\n\n[Colab]({address.colab_link(name, URL, 'main')})"
    notebook = {
        "cells": [
            {"cell_type": "markdown", "id": "title", "metadata": {}, "source": intro},
            code('SCALE = "auto"\nSEED = 0', "parameters"),
            code(setup, "hide-input"),
            *cells,
            code(f"run.record('twice', 2 * SEED)\n{claim}"),
            code("run.finish()"),
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = root / "notebooks" / f"{name}.ipynb"
    normal.write_normal(path, notebook)
    return path


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Make a checkout with one chapter and step into it."""
    root = tmp_path / "course"
    for folder in ("notebooks", "book/results"):
        (root / folder).mkdir(parents=True)
    text = f"title: x\n\nrepository:\n  # where\n  url: {URL}\n  branch: main\n\nhtml: {{}}\n"
    (root / "_config.yml").write_text(text)
    (root / "README.md").write_text(
        f"See {URL} and https://rnn-executed.github.io/rnn-executed/.\n"
    )
    (root / "CITATION.cff").write_text(f'repository-code: "{URL}"\n')
    write_chapter(root, "01_tiny", code("print('hello from a cell')"))
    monkeypatch.chdir(root)
    monkeypatch.delenv("RNNLIB_SCALE", raising=False)
    monkeypatch.delenv("RNNLIB_RESULTS", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return root


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


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


def executed(root, text="fine\n", **changes):
    """Make what a run leaves behind, without running."""
    path = root / "notebooks" / "01_tiny.ipynb"
    notebook = notebooks.read(path)
    output = {"output_type": "stream", "name": "stdout", "text": text}
    notebook["cells"][3].update(outputs=[output], execution_count=4)
    copy = root.parent / "seed0.ipynb"
    copy.write_text(json.dumps(notebook))
    result = {
        **course.Run("01_tiny", "cpu", 0).results(),
        "code_sha256": notebooks.code_hash(path),
        **changes,
    }
    return path, result, copy


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


# results, data, doctor


def test_results_page(root, capsys):
    assert main(["results"]) == 0
    assert (root / "book" / "results.md").read_text() == results.page(root)


@pytest.fixture
def data_sets(monkeypatch):
    sets = [
        {"name": name, "bytes": 1_100_000, "licence": "public domain", "source": "https://x.org/a"}
        | {"present": name == "verses", "description": f"About {name}."}
        for name in ("verses", "names")
    ]
    monkeypatch.setattr(data, "status", lambda: sets, raising=False)
    monkeypatch.setattr(data, "fetch", lambda name: [Path(f"{name}.txt")], raising=False)


def test_data_list(data_sets, capsys):
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"verses +1\.1 MB +present +public domain", out)
    assert re.search(r"names +1\.1 MB +not here", out)
    assert "https://x.org/a" in out
    assert "About names." in out


def test_data_fetch(data_sets, capsys):
    assert main(["data", "fetch", "names"]) == 0
    assert capsys.readouterr().out == "names.txt\n"
    assert main(["data", "fetch"]) == 0
    assert capsys.readouterr().out == "verses.txt\nnames.txt\n"
    assert main(["data", "fetch", "shakespeare"]) == 1
    assert "no data set 'shakespeare'; there are: verses, names" in capsys.readouterr().err


def test_doctor_on_this_machine(root, data_sets, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("RNNLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "has_cuda", lambda: False)
    results.save(root, executed(root, wall_s=75.0, device="A laptop")[1])
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for line in (
        rf"Python +{sys.version.split()[0]}",
        r"numpy +\d",
        r"CUDA +none",
        r"memory +\d",
        r"cache .*GB free",
        r"1 of 2 data sets present; 1\.1 MB",
        r"cpu +will run; minutes by chapter on A laptop: 01 1:15",
        r"gpu +will not run here: no CUDA device",
        "Nothing is missing",
    ):
        assert re.search(line, out), line
    assert out.count("\n") < 40  # one screen


def test_doctor_on_a_poor_machine(root, data_sets, capsys, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RNNLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "memory_gb", lambda: 1.9)
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"missing: memory for cpu scale.*--scale smoke.*Colab", out)
    assert re.search(r"missing: 1 GB that can be written to.*RNNLIB_CACHE", out)


def test_doctor_names_missing_and_old_packages(root, data_sets, capsys, monkeypatch):
    from packaging.requirements import Requirement

    lines = [("", "numpy>=99"), ("", "no-such-package>=1"), ("run", "no-such-runner")]
    found = [(extra, Requirement(line)) for extra, line in lines]
    monkeypatch.setattr(doctor, "requirements", lambda: found)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"numpy +\d\S+, needs numpy>=99", out)
    assert re.search(r"no-such-package +missing", out)
    assert re.search(r"\[run\] +lacks no-such-runner", out)
    assert re.search(r"missing: numpy.*no-such-package.*pip install", out)


def test_requirements_from_a_checkout_or_an_installed_package(monkeypatch, tmp_path):
    def names(found):
        return sorted((extra, req.name, str(req.specifier)) for extra, req in found)

    from_project = names(doctor.requirements())
    assert ("", "numpy", ">=1.26") in from_project
    assert ("run", "papermill", ">=2.6") in from_project
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "rnnlib" / "doctor.py"))
    installed = {(extra, name) for extra, name, _ in names(doctor.requirements())}
    assert {("", "numpy"), ("run", "papermill"), ("test", "pytest")} <= installed


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


# repository


def set_up(root):
    path = root / "notebooks" / "01_tiny.ipynb"
    notebook = notebooks.read(path)
    notebook["cells"][2]["source"] = address.setup_cell("01_tiny", URL, "main") + "\nimport torch"
    normal.write_normal(path, notebook)


def test_repository_shows_and_checks(root, capsys):
    assert main(["repository"]) == 1
    assert "expected one set-up cell beginning" in capsys.readouterr().out
    set_up(root)
    assert main(["repository"]) == 0
    assert capsys.readouterr().out == f"{URL}, branch main\n"
    (root / "README.md").write_text("nothing")
    assert main(["repository"]) == 1
    assert "README.md" in capsys.readouterr().out


@pytest.mark.parametrize("end", ["", "/", ".git"])
def test_rewriting_there_and_back_is_the_identity(root, end, capsys):
    set_up(root)
    path = root / "notebooks" / "01_tiny.ipynb"
    before, hashed = contents(root), notebooks.code_hash(path)
    assert main(["repository", f"https://github.com/Ada/my.rnns{end}", "--branch", "dev/x"]) == 0
    assert "rewrote README.md" in capsys.readouterr().out
    after = contents(root)
    assert all(before[name] != after[name] for name in before)
    assert not any(b"rnn-executed" in text for text in after.values())
    assert "https://Ada.github.io/my.rnns/" in (root / "README.md").read_text()
    assert "git+https://github.com/Ada/my.rnns@dev/x" in path.read_text()
    assert "/github/Ada/my.rnns/blob/dev/x/notebooks/01_tiny.ipynb" in path.read_text()
    assert notebooks.code_hash(path) == hashed  # committed results still belong to the code
    assert main(["repository", URL, "--branch", "main"]) == 0
    assert contents(root) == before


def test_branch_alone(root):
    set_up(root)
    assert main(["repository", "--branch", "next"]) == 0
    assert address.current(root) == (URL, "next")


@pytest.mark.parametrize(
    "url",
    [
        "https://gitlab.com/a/b",
        "github.com/a/b",
        "https://github.com/a",
        "https://github.com/a/b c",
    ],
)
def test_address_of_another_form(root, url, capsys):
    before = contents(root)
    assert main(["repository", url]) == 1
    assert "expected https://github.com/OWNER/NAME" in capsys.readouterr().err
    assert contents(root) == before


def test_lookalikes_are_left_alone():
    text = "x/a/bb a/b-c xa/b a/b"
    assert address._replace(text, "a/b", "c/d", "main", "main") == "x/a/bb a/b-c xa/b c/d"


def test_config_without_address(root):
    (root / "_config.yml").write_text("title: x\n")
    with pytest.raises(ValueError, match=r"repository\.url"):
        address.current(root)


def test_all_addresses_of_the_course_agree():
    assert len(notebooks.chapters(ROOT)) >= 2
    assert address.disagreements(ROOT) == []


def test_rewriting_the_course_itself_there_and_back(tmp_path):
    url, branch = address.current(ROOT)
    copied = {}
    for pattern in address._FILES:
        for path in ROOT.glob(pattern):
            copied[path.relative_to(ROOT)] = path.read_bytes()
    for name, text in copied.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text)
    address.rewrite(tmp_path, "https://github.com/somebody/their-fork", "a-branch")
    assert address.disagreements(tmp_path) == []
    left = [name for name in copied if address.slug(url) in (tmp_path / name).read_text("utf8")]
    assert left == []
    address.rewrite(tmp_path, url, branch)
    assert {name: (tmp_path / name).read_bytes() for name in copied} == copied


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
