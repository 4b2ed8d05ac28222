"""What holds for every test: no settings of the user's, no user's cache, no network."""

import importlib.util
import socket

import pytest

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
