"""The repository's address: kept in ``_config.yml``, repeated where a reader needs it."""

import re

from rnnlib import notebooks

_FILES = (
    "_config.yml",
    "README.md",
    "CITATION.cff",
    "pyproject.toml",
    "index.md",
    "book/*.md",
    "notebooks/**/*.ipynb",
)
_SETUP = """\
# @title Set-up
try:
    import rnnlib
except ImportError:
    import google.colab  # elsewhere, install as the README says

    %pip install -q --no-deps "rnnlib @ git+{url}@{branch}"
    %pip install -q "pooch>=1.8" "tqdm>=4.66"
import matplotlib.pyplot as plt
import numpy as np

from rnnlib import course, plot

plot.use()
run = course.start("{chapter}", scale=SCALE, seed=SEED"""


def current(root):
    """Read the repository's URL and branch from ``_config.yml``.

    Returns
    -------
    tuple of str
        URL and branch.

    Raises
    ------
    ValueError
        If they are not there, or the URL is not one of a GitHub repository.
    """
    import yaml

    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf8"))
    try:
        url, branch = config["repository"]["url"], config["repository"]["branch"]
    except (KeyError, TypeError):
        raise ValueError(f"expected repository.url and .branch in {root / '_config.yml'}") from None
    slug(url)
    return url, branch


def slug(url):
    """Return ``OWNER/NAME`` of a GitHub repository's URL.

    Raises
    ------
    ValueError
        If the URL is of another form. Colab opens notebooks from GitHub alone.
    """
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", url, re.ASCII)
    if not match:
        raise ValueError(f"expected https://github.com/OWNER/NAME, got {url!r}")
    return match[1]


def setup_cell(chapter, url, branch):
    """Return the text with which every chapter's set-up cell begins.

    What follows is ``)``, or ``, numpy_only=True)`` in a chapter without PyTorch.
    """
    return _SETUP.format(chapter=chapter, url=url, branch=branch).rstrip("\n")


def has_setup(source, chapter, url, branch):
    """Say whether a cell begins as :func:`setup_cell` does, however its last line is wrapped."""
    return one_line(source).startswith(setup_cell(chapter, url, branch))


def one_line(source):
    """Undo what the formatter does to ``course.start(...)`` in a chapter with a long name."""
    return re.sub(r"course\.start\(\n    (.+)\n\)", r"course.start(\1)", source)


def colab_link(chapter, url, branch):
    """Return the address that opens a chapter in Colab."""
    where = f"{slug(url)}/blob/{branch}/notebooks/{chapter}.ipynb"
    return f"https://colab.research.google.com/github/{where}"


def disagreements(root):
    """List where the address is not the one in ``_config.yml``, as sentences."""
    url, branch = current(root)
    found = []
    for path in notebooks.chapters(root):
        cells = notebooks.read(path)["cells"]
        code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        if sum(has_setup(source, path.stem, url, branch) for source in code) != 1:
            setup = setup_cell(path.stem, url, branch)
            found.append(f"notebooks/{path.name}: expected one set-up cell beginning:\n{setup}")
        if colab_link(path.stem, url, branch) + ")" not in cells[0]["source"]:
            found.append(f"notebooks/{path.name}: its first cell lacks the Colab link")
    for name in ("README.md", "CITATION.cff"):
        if url not in (root / name).read_text(encoding="utf8"):
            found.append(f"{name}: does not name {url}")
    return found


def rewrite(root, url, branch=None):
    """Put another address wherever the present one stands.

    Parameters
    ----------
    root : Path
        The checkout.
    url : str
        ``https://github.com/OWNER/NAME``; a slash or ``.git`` at the end is dropped.
    branch : str, optional
        Its branch; the present one if not given.

    Returns
    -------
    list of Path
        The files that changed.
    """
    old_url, old_branch = current(root)
    url = url.rstrip("/").removesuffix(".git")
    old, new, branch = slug(old_url), slug(url), branch or old_branch
    if not re.fullmatch(r"[\w./-]+", branch, re.ASCII):
        raise ValueError(f"expected a branch's name, got {branch!r}")
    changed = []
    for path in sorted({path for pattern in _FILES for path in root.glob(pattern)}):
        before = path.read_bytes().decode()
        after = _replace(before, old, new, old_branch, branch)
        if path.name == "_config.yml":
            key = r"(?m)(^repository:[ \t]*\n(?:[ \t]+.*\n|\n)*?[ \t]+branch:[ \t]*)[^\s#]+"
            after = re.sub(key, lambda match: match[1] + branch, after)
        if after != before:
            notebooks.write_whole(path, after)
            changed.append(path)
    return changed


def _replace(text, old, new, old_branch, branch):
    end = r"(?=[/\"'\\\s)>]|$)"
    with_branch = rf"(?<![\w.-]){re.escape(old)}(@|/(?:blob|tree|edit|raw)/){re.escape(old_branch)}"
    text = re.sub(with_branch + end, lambda match: f"{new}{match[1]}{branch}", text)
    text = re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w-])", lambda _: new, text)
    pages, new_pages = (".github.io/".join(s.split("/")) for s in (old, new))
    return re.sub(rf"(?<![\w.-]){re.escape(pages)}(?![\w-])", lambda _: new_pages, text)
