"""Importing rnnlib is quick, and brings in nothing heavy before it is needed."""

import subprocess
import sys
import time


def seconds_to_import(module):
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - began


def test_import_is_quick():
    bare, whole = (min(seconds_to_import(m) for _ in range(6)) for m in ("sys", "rnnlib"))
    assert whole - bare < 0.3


def test_imports_are_lazy():
    code = (
        "import sys, rnnlib.__main__, rnnlib.course, rnnlib.normal, rnnlib.runner, "
        "rnnlib.address, rnnlib.doctor, rnnlib.results\n"
        "heavy = {'torch', 'papermill', 'nbformat', 'yaml', 'matplotlib', 'PIL', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
