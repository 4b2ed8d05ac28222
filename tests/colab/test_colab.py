"""Every chapter on a machine like Google Colab's, with nothing at hand but its notebook.

What breaks a course there is an install that moves numpy or torch, a file that only the
checkout has, and a call that Colab's older versions lack. So the machine is a fresh
environment with Colab's versions of what chapters import, the folder holds one notebook,
and the notebook's own set-up cell installs rnnlib: git finds this checkout where the cell
names the public repository.

Two things differ from Colab. The Python is the one that runs the tests, and torch is
constraints.txt's, because Colab's torch brings gigabytes of CUDA on Linux: one machine that
executes whole chapters catches more than two that cannot import torch. Inside Google's own
runtime image, set RNNLIB_COLAB=image and the machine is that image itself.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))["repository"]
CHAPTERS = sorted(ROOT.glob("notebooks/*.ipynb"))
IN_IMAGE = os.environ.get("RNNLIB_COLAB") == "image"
# Colab's versions in August 2026; nothing here may bring pooch, which set-up cells install.
COLAB = [
    "babel",
    "ipykernel==6.17.1",
    "ipython==7.34.0",
    "ipywidgets==7.7.1",
    "jupyter_client==7.4.9",
    "lxml",
    "matplotlib==3.10.0",
    "numpy==2.1.3",
    "pandas==2.2.2",
    "psutil",
    "regex",
    "requests",
    "safetensors",
    "scipy==1.16.3",
    "sentencepiece",
    "statsmodels==0.14.5",
    "tabulate",
    "tqdm",
]
MAY_COME = {"rnnlib", "pooch", "tqdm"}
# Chapter 07 installs optuna, and that brings these.
MAY_COME |= {"optuna", "alembic", "colorlog", "greenlet", "mako", "markupsafe", "sqlalchemy"}
# Chapter 12 installs sacrebleu and num2words, and those bring these.
MAY_COME |= {"sacrebleu", "colorama", "portalocker", "num2words", "docopt"}

pytestmark = pytest.mark.colab


def run(*command, **options):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """The interpreter of a machine like Colab's."""
    if IN_IMAGE:
        return Path(sys.executable)
    folder = tmp_path_factory.mktemp("machine")
    run(sys.executable, "-m", "venv", folder)
    found = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf8").split()
    torch = next(pin for pin in pins if pin.startswith("torch=="))
    run(found, "-m", "pip", "install", "-q", *COLAB, torch)
    site = run(found, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    colab = Path(site) / "google" / "colab"
    colab.mkdir(parents=True)
    (colab.parent / "__init__.py").touch()
    (colab / "__init__.py").touch()
    return found


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    """What is checked out here, changes included, as a repository with the same branch name."""
    folder = tmp_path_factory.mktemp("repository")
    listed = run("git", "ls-files", "-z", "-co", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    run("git", "init", "-q", cwd=folder)
    run("git", "checkout", "-q", "-b", REPOSITORY["branch"], cwd=folder)
    run("git", "add", "-A", cwd=folder)
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    run("git", *who, "commit", "-q", "-m", "Working tree", cwd=folder)
    return folder


def environment(repository, folder):
    """The environment of a kernel on Colab: no settings of ours, and git's redirection."""
    ours = ("RNNLIB_", "PYTHON", "VIRTUAL_ENV", "JUPYTER", "IPYTHON", "MPL", "GIT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {
        "RNNLIB_SCALE": "smoke",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(folder / "ipython"),
        "OMP_NUM_THREADS": "1",
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": REPOSITORY["url"],
        "GIT_CONFIG_KEY_1": "safe.directory",
        "GIT_CONFIG_VALUE_1": "*",
    }


def installed(python):
    listed = json.loads(run(python, "-m", "pip", "list", "--format", "json"))
    return {canonicalize_name(entry["name"]): entry["version"] for entry in listed}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_runs_on_colab_and_moves_nothing(
    chapter, python, repository, tmp_path, monkeypatch
):
    before = installed(python)
    assert "rnnlib" not in before
    kernel = tmp_path / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Colab", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    content = tmp_path / "content"
    content.mkdir()
    shutil.copy(chapter, content)
    notebook = nbformat.read(content / chapter.name, as_version=4)
    client = NotebookClient(
        notebook, timeout=900, kernel_name="colab", resources={"metadata": {"path": str(content)}}
    )
    try:
        client.execute(env=environment(repository, tmp_path))
    finally:
        after = installed(python)
        come = set(after) - set(before)
        run(python, "-m", "pip", "uninstall", "-q", "-y", *come)  # as new for the next chapter
    moved = {name: (v, after.get(name)) for name, v in before.items() if after.get(name) != v}
    assert not moved, f"the set-up cell changed what Colab has: {moved}"
    assert "rnnlib" in come <= MAY_COME
    printed = "".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert f"scale smoke · device cpu · seed 0 · python {run(python, '-V').split()[1]}" in printed
    assert f"numpy {before['numpy']}" in printed
    assert (content / "results" / "smoke" / f"{chapter.stem}.json").exists()


def test_there_are_chapters():
    assert CHAPTERS
