"""The doctor: what this machine can run, and what is missing."""

import re
import sys

from tiny_course import executed

from rnnlib import doctor, machine, results
from rnnlib.__main__ import main


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
