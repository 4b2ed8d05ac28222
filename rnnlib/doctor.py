"""What this machine has, and which scales of the course will run on it."""

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path

from rnnlib import machine, notebooks

# Imports of anything that may be missing stand in the functions that need it.
INSTALL = 'pip install -c constraints.txt -e ".[run]"'
_NEEDED_GB = {"memory": 4, "disk": 1}


def report():
    """Print one screen about this machine; return the problems found.

    Returns
    -------
    list of str
        What is missing and what to do; empty if smoke and cpu scale will run.
    """
    problems = _python() + _packages()
    if not problems:
        problems = _hardware()
        _data()
        _scales(problems)
    print()
    for problem in problems:
        print(f"missing: {problem}")
    if not problems:
        print("Nothing is missing.")
    return problems


def _show(name, value):
    print(f"{name:10} {value}")


def _python():
    _show("Python", f"{platform.python_version()}, {sys.executable}")
    _show("system", f"{platform.system()} {platform.release()}, {platform.machine()}")
    if sys.version_info < (3, 11):  # noqa: UP036, for who did not install with pip
        return ["Python 3.11 or newer: make a new environment with it, as the README says"]
    return []


def requirements():
    """Return what rnnlib requires, as pairs of extra ("" for none) and requirement.

    Read from pyproject.toml in a checkout, else from the installed package.
    """
    from packaging.requirements import Requirement

    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    if project.exists():
        import tomllib

        table = tomllib.loads(project.read_text(encoding="utf8"))["project"]
        listed = {"": table["dependencies"], **table.get("optional-dependencies", {})}
        return [(extra, Requirement(line)) for extra, lines in listed.items() for line in lines]
    found = [Requirement(line) for line in importlib.metadata.requires("rnnlib") or []]
    extras = importlib.metadata.metadata("rnnlib").get_all("Provides-Extra") or []
    return [
        (next((e for e in extras if r.marker and f'"{e}"' in str(r.marker)), ""), r) for r in found
    ]


def _packages():
    try:
        import packaging  # noqa: F401, comes with matplotlib
    except ImportError:
        return [f"the course's packages: {INSTALL}"]
    wrong = {}
    for extra, needed in requirements():
        try:
            version = importlib.metadata.version(needed.name)
        except importlib.metadata.PackageNotFoundError:
            version = None
        good = version is not None and needed.specifier.contains(version, prereleases=True)
        if extra == "":
            _show(needed.name, f"{version or 'missing'}{'' if good else f', needs {needed}'}")
        if not good:
            wrong.setdefault(extra, []).append(f"{needed.name} (needs {needed.specifier})")
    for extra in sorted({extra for extra, _ in requirements()} - {""}):
        _show(f"[{extra}]", f"lacks {', '.join(wrong[extra])}" if extra in wrong else "complete")
    if "" in wrong:
        return [f"{', '.join(wrong[''])}: {INSTALL}"]
    return []


def memory_gb():
    """Return this machine's memory in GB (1e9 bytes), or None if it cannot be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):  # Windows
        try:
            import psutil
        except ImportError:
            return None
        return psutil.virtual_memory().total / 1e9


def cache_folder():
    """Return the folder that downloads go to."""
    if os.environ.get("RNNLIB_CACHE"):
        return Path(os.environ["RNNLIB_CACHE"])
    import pooch

    return Path(pooch.os_cache("rnnlib"))


def _hardware():
    problems = []
    gpu = machine.device_name("cuda") if machine.has_cuda() else "none that PyTorch can use"
    _show("CPU", machine.device_name())
    _show("CUDA", gpu)
    memory = memory_gb()
    _show("memory", "unknown" if memory is None else f"{memory:.1f} GB")
    if memory is not None and memory < _NEEDED_GB["memory"] * 0.9:  # firmware keeps a share
        problems.append(
            f"memory for cpu scale, {_NEEDED_GB['memory']} GB: close other programs, run "
            "with --scale smoke, or open the chapters in Colab"
        )
    cache = cache_folder()
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free, writable = shutil.disk_usage(there).free / 1e9, os.access(there, os.W_OK)
    _show("cache", f"{cache}, {free:.1f} GB free{'' if writable else ', NOT writable'}")
    if free < _NEEDED_GB["disk"] or not writable:
        problems.append(
            f"{_NEEDED_GB['disk']} GB that can be written to in {cache}: free some, or set "
            "RNNLIB_CACHE to a folder elsewhere"
        )
    return problems


def _data():
    from rnnlib import data

    sets = data.status()
    absent = [d for d in sets if d["where"] not in ("mirror", "cache")]
    size = sum(d["bytes"] for d in absent) / 1e6
    there = f"{len(sets) - len(absent)} of {len(sets)} data sets present"
    later = (
        f"; {size:.1f} MB will be downloaded when needed, or now by: python -m rnnlib data fetch"
    )
    _show("data", there + (later if absent else ""))


def _scales(problems):
    from rnnlib import course, results
    from rnnlib.runner import clock

    try:
        root = notebooks.find_root()
    except FileNotFoundError:
        _show("chapters", "not in a checkout: open them in Colab, or clone the repository")
        return
    paths = notebooks.chapters(root)
    for scale in course.SCALES:
        if scale == "gpu" and not machine.has_cuda():
            _show(scale, "will not run here: no CUDA device")
            continue
        if scale == "smoke":
            times = f"seconds for each chapter, of {len(paths)}"
        else:
            found = [r for r in (results.load(root, scale, p.stem) for p in paths) if r]
            took = ", ".join(f"{r['chapter'].split('_')[0]} {clock(r['wall_s'])}" for r in found)
            where = ", ".join(dict.fromkeys(r["device"] for r in found))
            times = f"minutes by chapter on {where}: {took}" if found else "no times recorded yet"
        _show(scale, f"{'see below' if problems else 'will run'}; {times}")
