"""Print the whole book to one PDF: ``python book/pdf.py [folder]``; the folder is ``_build/pdf``.

Jupyter Book makes a single page of all chapters, and a Chromium that is on this machine
prints it. Solutions and hidden cells are opened first, because paper cannot unfold them.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def find_browser():
    """Return the path of a Chromium-like browser: the environment's CHROMIUM first."""
    found = [os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS)]
    found.append(MAC if MAC.exists() else None)
    for path in found:
        if path:
            return str(path)
    raise SystemExit(
        f"expected one of {', '.join(BROWSERS)} on the PATH, found none: install Chromium "
        "(Debian: apt-get install chromium), or set CHROMIUM to the program's path"
    )


def build_page(root, folder):
    """Build the book as one page below the folder and return the page's path."""
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", "--all", "-W", "--keep-going"]
    command += ["--builder", "singlehtml", "--path-output", str(folder), str(root)]
    subprocess.run(command, check=True)
    return folder / "_build" / "singlehtml" / "index.html"


def open_details(page):
    """Open every folded block of the page, and load no image lazily, in place."""
    html = page.read_text(encoding="utf8")
    html = re.sub(r"<details(?![^>]*\bopen\b)", "<details open", html)
    html = html.replace(' loading="lazy"', "")
    page.write_text(html, encoding="utf8")


def print_page(browser, page, pdf):
    """Print the page with a fresh browser profile; MathJax gets the time it needs."""
    pdf.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
        flags += ["--disable-background-networking", "--disable-component-update"]
        flags += [f"--user-data-dir={profile}", "--virtual-time-budget=120000"]
        flags += ["--no-pdf-header-footer", f"--print-to-pdf={pdf}"]
        done = subprocess.run(
            [browser, *flags, page.as_uri()], capture_output=True, text=True, timeout=600
        )
    if not pdf.exists():
        raise SystemExit(f"{browser} printed nothing:\n{done.stderr[-2000:]}")


def main():
    """Build, unfold, print, and say where the file is."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else root / "_build" / "pdf"
    browser = find_browser()
    page = build_page(root, folder)
    open_details(page)
    pdf = folder / "rnn-executed.pdf"
    print_page(browser, page, pdf)
    print(f"{pdf}: {pdf.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
