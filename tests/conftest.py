"""What holds for every test: no settings of the user's, no user's cache, no network.

And what several files of tests begin with: data, and a small checkout of a course.
"""

import importlib.util
import socket
from pathlib import Path

import pytest
import tiny_course

from rnnlib import data

# The browser tests have an extra of their own; without it they cannot even be collected.
collect_ignore = [] if importlib.util.find_spec("playwright") else ["browser"]
_connect = socket.socket.connect
_online = False  # whether the running test may leave this machine


def _guarded(sock, address):
    local = sock.family not in (socket.AF_INET, socket.AF_INET6)
    if _online or local or address[0] in ("127.0.0.1", "::1", "localhost"):
        return _connect(sock, address)
    raise OSError(f"expected a test to stay on this machine, but it connects to {address[0]}")


def pytest_configure():
    socket.socket.connect = _guarded


def pytest_unconfigure():
    socket.socket.connect = _connect


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    global _online
    _online = any(item.get_closest_marker(name) for name in ("browser", "colab"))


@pytest.fixture(scope="session", autouse=True)
def _own_settings(tmp_path_factory):
    """Unset what the user has set for rnnlib, and keep downloads in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RNNLIB_DATA", "RNNLIB_SCALE", "RNNLIB_RESULTS"):
            patch.delenv(name, raising=False)
        patch.setenv("RNNLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keep a test away from the user's own cache, mirror and proxy; do not wait."""
    monkeypatch.delenv("RNNLIB_DATA", raising=False)
    monkeypatch.setenv("RNNLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Make a mirror that holds a file; given bytes, say which."""

    def make(content, name="tinyshakespeare/input.txt"):
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        monkeypatch.setenv("RNNLIB_DATA", str(tmp_path / "mirror"))
        return path

    return make


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Make a checkout with one chapter and step into it."""
    root = tmp_path / "course"
    tiny_course.make(root)
    monkeypatch.chdir(root)
    monkeypatch.delenv("RNNLIB_SCALE", raising=False)
    monkeypatch.delenv("RNNLIB_RESULTS", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return root


@pytest.fixture
def data_sets(monkeypatch):
    """Let there be two data sets, of which one is present."""
    sets = [
        {"name": name, "bytes": 1_100_000, "licence": "public domain", "source": "https://x.org/a"}
        | {"where": "cache" if name == "verses" else "in part", "description": f"About {name}."}
        for name in ("verses", "names")
    ]
    monkeypatch.setattr(data, "status", lambda: sets)
    monkeypatch.setattr(data, "fetch", lambda name: [Path(f"{name}.txt")])
