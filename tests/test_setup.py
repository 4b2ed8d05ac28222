"""The files that set a machine up agree with each other."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ASKED = [Requirement(r) for r in sum(EXTRAS.values(), PROJECT["dependencies"])]
INSTALL = 'pip install -c constraints.txt -e ".[run,book,test]"'


def read(name):
    return (ROOT / name).read_text(encoding="utf8")


@pytest.fixture(scope="module")
def pins():
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    assert lines == sorted(lines, key=str.lower)
    found = {}
    for line in lines:
        # A local version such as 2.13.0+cpu exists on one machine only.
        match = re.fullmatch(r"([\w.-]+)==([\w.]+)", line)
        assert match, f"expected NAME==VERSION in constraints.txt, got {line}"
        found[canonicalize_name(match[1])] = match[2]
    assert len(found) == len(lines)
    return found


def needed(requirements):
    """Walk the installed packages, and return the names of all that these requirements bring."""
    names, waiting = set(), [(requirement, "") for requirement in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        environment = default_environment() | {"extra": extra}
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        name = canonicalize_name(requirement.name)
        if (name, *requirement.extras) in names:
            continue
        names.add((name, *requirement.extras))
        try:
            brought = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of an extra that is not installed here
        for line in brought:
            waiting += [(Requirement(line), extra) for extra in ("", *requirement.extras)]
    return {name for name, *_ in names}


def test_constraints_pin_what_the_package_asks_for(pins):
    for requirement in ASKED:
        version = pins.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is in pyproject.toml but not in constraints.txt"
        assert requirement.specifier.contains(version), f"{requirement} against {version}"


def test_constraints_pin_what_that_brings_and_nothing_else(pins):
    brought = needed(ASKED)
    missing = brought - set(pins) - {"setuptools", "wheel", "pip"}
    if sys.platform == "linux" and sys.version_info < (3, 12):  # where the pins were made
        assert not missing, f"not pinned in constraints.txt: {missing}"
    absent = {name for name in pins if not _installed(name)}
    assert set(pins) - brought <= absent, f"nothing needs {set(pins) - brought - absent}"


def _installed(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def test_conda_gets_the_same():
    environment = yaml.safe_load(read("environment.yml"))
    *conda, pip = environment["dependencies"]
    assert conda == [f"python {PROJECT['requires-python']},<3.14", "pip"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[run,book,test]"]}


def test_make_and_readme_install_the_same():
    assert f"install --disable-pip-version-check -q {INSTALL.split(maxsplit=2)[2]}" in read(
        "Makefile"
    )
    assert INSTALL in read("README.md")
    assert set(re.search(r"\[([\w,]+)\]", INSTALL)[1].split(",")) <= set(EXTRAS)


def test_every_package_is_listed_for_installation():
    found = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for path in (ROOT / "rnnlib").rglob("*.py")
    }
    listed = tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]["packages"]
    assert sorted(found) == listed


def test_the_readme_names_what_make_can_do():
    targets = set(re.search(r"\.PHONY:(.*)", read("Makefile"))[1].split())
    assert set(re.findall(r"^## make (\w+)", read("Makefile"), re.MULTILINE)) == targets - {"help"}
    assert set(re.findall(r"make (\w+)", read("README.md"))) <= targets
    assert {"book", "test"} <= set(re.findall(r"^make (\w+)", read("README.md"), re.MULTILINE))


def test_the_readme_lists_every_chapter_by_its_title():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        first = json.loads(path.read_text(encoding="utf8"))["cells"][0]["source"]
        title = "".join(first).splitlines()[0].removeprefix("# ")
        assert f"- {path.stem[:2]} [{title}](notebooks/{path.name})" in read("README.md")


def test_files_that_the_readme_names_are_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", read("README.md"))
    assert any(link.endswith((".svg", ".png")) for link in links)
    for link in links:
        assert (ROOT / link).exists(), link


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.skipif(os.name == "nt", reason="needs a shell script as Python")
@pytest.mark.parametrize("fault", ["old", "no venv"])
def test_make_says_at_once_what_is_wrong_with_python(tmp_path, fault):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    faults = {
        "old": "import sys; sys.version_info, sys.version = (3, 9, 6), '3.9.6 (x)'",
        "no venv": "import sys; sys.modules['ensurepip'] = None",
    }
    (tmp_path / "fault.py").write_text(
        f"import sys; source = sys.argv[2]\n{faults[fault]}\nexec(source)\n", encoding="utf8"
    )
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/fault.py" "$@"\n', encoding="utf8"
    )
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "book", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True
    )
    said = {"old": "needs Python 3.11 or newer, and", "no venv": "lacks its venv module"}
    assert done.returncode != 0
    assert said[fault] in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name
)
def test_workflows_have_few_rights_and_pinned_actions(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_the_citation_file_is_whole():
    citation = yaml.safe_load(read("CITATION.cff"))
    config = yaml.safe_load(read("_config.yml"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["title"] == config["title"]
    assert citation["repository-code"] == config["repository"]["url"]
    assert [author["name"] for author in citation["authors"]] == [config["author"]]


def test_tests_cannot_leave_this_machine():
    import socket

    with pytest.raises(OSError, match="stay on this machine"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
