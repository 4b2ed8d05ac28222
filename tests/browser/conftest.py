"""The built book, served on this machine, and a real Chromium to read it with.

Playwright drives the Chromium that is installed here, so that no browser is downloaded and
no chromedriver has to match it. axe-playwright-python brings axe-core as a file.
"""

import functools
import http.server
import runpy
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Error, sync_playwright

ROOT = Path(__file__).resolve().parents[2]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve files without a line for each request."""

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """Build the book afresh and return its HTML folder."""
    build = runpy.run_path(str(ROOT / "tests" / "test_book.py"))["build"]
    return build(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="session")
def site(html):
    """Serve the book and return its address, with a slash at the end."""
    handler = functools.partial(Quiet, directory=str(html))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def chromium():
    """Start Chromium, or fail: whoever asks for browser tests wants them to run."""
    try:
        path = runpy.run_path(str(ROOT / "book" / "pdf.py"))["find_browser"]()
    except SystemExit as error:
        pytest.fail(str(error), pytrace=False)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        try:
            browser = playwright.chromium.launch(executable_path=path, args=flags)
        except Error as error:
            pytest.fail(f"{path} does not start: {error}", pytrace=False)
        yield browser
        browser.close()


@pytest.fixture
def view(chromium, site):
    """Return a function that opens a page of the book and waits until it is typeset.

    The page carries what it said and asked for: ``page.said`` and ``page.asked``.
    """
    contexts = []

    def visit(name, width=1280, height=900, scheme="light"):
        size = {"width": width, "height": height}
        context = chromium.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append((message.type, message.text)))
        page.on("pageerror", lambda error: page.said.append(("error", str(error))))
        page.on("requestfailed", lambda r: page.said.append(("error", f"{r.url}: {r.failure}")))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(f"{site}{name}.html", wait_until="load")
        page.wait_for_load_state("networkidle")
        page.evaluate("window.MathJax && MathJax.startup.promise")
        return page

    yield visit
    for context in contexts:
        context.close()
