"""Run a chapter from the command line, watch it, and save what it gave."""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rnnlib import normal, notebooks, results


class ChapterError(RuntimeError):
    """A chapter could not be run to its end, or its results could not be saved."""


class Live:
    """Shows a run as it goes: each cell that starts, and what cells print.

    Parameters
    ----------
    cells : int
        How many code cells will run.
    expected_s : float or None
        Seconds that the chapter took when its results were committed.
    stream : file
        Where to show it. Progress bars are passed on to a terminal only.
    """

    def __init__(self, cells, expected_s=None, stream=None):
        self.cells, self.expected_s = cells, expected_s
        self.stream = stream or sys.stdout
        self.number, self.source = 0, ""
        self._began, self._line = time.perf_counter(), ""

    def cell(self, cell, cell_index=None):
        """Say that a cell starts; called by nbclient before each cell."""
        if cell.cell_type != "code" or "injected-parameters" in notebooks.tags(cell):
            return
        self.end_line()
        self.number, self.source = self.number + 1, first_line(cell.source)
        taken = time.perf_counter() - self._began
        left = ""
        if self.expected_s is not None:
            left = f" ~{clock(max(self.expected_s - taken, 0))} left"
        head = f"[{self.number:2}/{self.cells}] {clock(taken)}{left}  "
        self.stream.write(f"{head}{self.source[: max(20, 88 - len(head))]}\n")
        self.stream.flush()

    def write(self, text):
        """Show what a cell prints; called by papermill for each piece of output."""
        if self.stream.isatty():
            self.stream.write(text)
            self._line = (self._line + text).rpartition("\n")[2]
        else:
            *lines, self._line = (self._line + text).split("\n")
            shown = (normal.as_on_screen(line) for line in lines)
            self.stream.writelines(f"{line}\n" for line in shown)

    def flush(self):
        """Show what was written at once."""
        self.stream.flush()

    def end_line(self):
        """Finish a line that a cell left open."""
        shown = normal.as_on_screen(self._line).strip()
        if self.stream.isatty():
            self.stream.write("\n" if shown else "")
        elif shown:
            self.stream.write(f"{shown}\n")
        self._line = ""


def run_chapter(root, path, scale, seeds=1, save=False):
    """Run a chapter with the seeds 0 .. seeds - 1, print its table, save it if asked.

    Parameters
    ----------
    root : Path
        The checkout.
    path : Path
        The chapter's notebook.
    scale : {"smoke", "cpu", "gpu"}
        The scale, which must be possible on this machine.
    seeds : int
        How many runs.
    save : bool
        Write the merged results into the book and, at cpu scale, seed 0's outputs into
        the notebook. Without it nothing in the checkout changes.

    Returns
    -------
    dict
        The merged results.

    Raises
    ------
    ChapterError
        If a cell fails or a claim does not hold, or the results are not fit to be
        saved. The executed notebook stays in the folder that the message names.
    """
    if save and scale == "smoke":
        raise ChapterError("nothing at smoke scale is saved: run with --scale cpu --save")
    before = results.load(root, scale, path.stem)
    folder = Path(tempfile.mkdtemp(prefix=f"rnnlib-{path.stem}-"))
    runs = []
    for seed in range(seeds):
        print(f"{path.stem} · scale {scale} · seed {seed} ({seed + 1} of {seeds})", flush=True)
        runs.append(execute(path, folder, scale, seed, before and before["wall_s"]))
    merged = results.merge(runs)
    print(f"\n{results.text_table(merged)}")
    if save:
        with _keeping(folder):
            _save(root, path, merged, folder / "seed0.ipynb")
    shutil.rmtree(folder, ignore_errors=True)
    return merged


def execute(path, folder, scale, seed, expected_s=None):
    """Execute a notebook once, into ``folder/seedN.ipynb``; return its results.

    The kernel works in the notebook's own folder and writes its results below
    ``folder``. It gets one thread unless OMP_NUM_THREADS says otherwise: that is hardly
    slower for these sizes, and many times faster when another process is busy.
    """
    try:
        import papermill
        from papermill.exceptions import PapermillExecutionError
    except ImportError as error:
        raise ChapterError(
            f'running a chapter needs {error.name}: pip install -e ".[run]"'
        ) from None
    code = [c for c in notebooks.read(path)["cells"] if c["cell_type"] == "code"]
    live = Live(len(code), expected_s)
    output = folder / f"seed{seed}.ipynb"
    book = folder / f"seed{seed}" / "book" / "results"  # named so that outputs can be committed
    found = book / scale / f"{path.stem}.json"
    threads = {n: os.environ.get(n, "1") for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    try:
        with _environment(RNNLIB_RESULTS=str(book), **threads):
            papermill.execute_notebook(
                path,
                output,
                parameters={"SCALE": scale, "SEED": seed},
                cwd=path.parent,
                progress_bar=False,
                stdout_file=live,
                stderr_file=live,
                on_cell_start=live.cell,
                kernel_name="python3",
            )
    except PapermillExecutionError as error:
        what = f"{error.ename}: {error.evalue}"
    except KeyboardInterrupt:
        what = "interrupted"
    except RuntimeError as error:  # nbclient: the kernel died or did not start
        what = f"{type(error).__name__}: {error}"
    else:
        if found.exists():
            return results.read(found)
        raise ChapterError(
            f"{path.stem} wrote no results: is run.finish() its last cell? "
            f"The executed notebook is in {output}"
        )
    live.end_line()
    if found.exists():
        print(f"\n{results.text_table(results.read(found))}")
    raise ChapterError(
        f"{path.stem}, seed {seed}: code cell {live.number} of {live.cells} "
        f"({live.source}) failed:\n  {what}\n"
        f"Nothing was saved. The executed notebook is in {output}"
    )


def _save(root, path, merged, executed):
    standins = [name for name, sha in merged["data"].items() if sha == "stand-in"]
    if standins:
        raise ChapterError(f"it ran on a stand-in for {', '.join(standins)}, not on the real data")
    if notebooks.code_hash(path) != merged["code_sha256"]:
        raise ChapterError(f"{path.name} was changed during the run")
    notebook = notebooks.read(executed)
    found = notebooks.machine_paths(notebook)
    if found:
        raise ChapterError(f"its outputs show paths of this machine: {found[0][1]}")
    if merged["scale"] == "cpu":  # the committed outputs are the laptop's
        normal.write_normal(path, notebook)
        print(f"saved notebooks/{path.name}")
    where = results.save(root, merged)
    print(f"saved {where.relative_to(root).as_posix()}; now run: python -m rnnlib results")


@contextlib.contextmanager
def _keeping(folder):
    """Name the folder of the executed notebooks if what follows fails."""
    try:
        yield
    except (ChapterError, OSError) as error:
        raise ChapterError(f"not saved: {error}. The executed notebooks are in {folder}") from error


@contextlib.contextmanager
def _environment(**variables):
    old = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in old.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def first_line(source):
    """Return the first line of a cell that says something about it."""
    lines = [line.removeprefix("# @title").strip("# ") for line in source.splitlines()]
    return next((line for line in lines if line), "")


def clock(seconds):
    """Write seconds as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
