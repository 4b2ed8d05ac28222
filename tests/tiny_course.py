"""A small checkout of a course, on which the tests of the command line work."""

import hashlib
import json

from rnnlib import address, course, normal, notebooks

URL = "https://github.com/rnn-executed/rnn-executed"


def code(source, *tags):
    return {
        "cell_type": "code",
        "id": f"c{hashlib.sha256(source.encode()).hexdigest()[:6]}",
        "metadata": {"tags": list(tags)} if tags else {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def write_chapter(root, name, *cells, claim="run.claim('seed is small', SEED, below=5)"):
    start = f"run = course.start('{name}', scale=SCALE, seed=SEED, numpy_only=True)"
    setup = f"from rnnlib import course\n{start}"
    intro = f"# A tiny chapter\n\n[Colab]({address.colab_link(name, URL, 'main')})"
    notebook = {
        "cells": [
            {"cell_type": "markdown", "id": "title", "metadata": {}, "source": intro},
            code('SCALE = "auto"\nSEED = 0', "parameters"),
            code(setup, "hide-input"),
            *cells,
            code(f"run.record('twice', 2 * SEED)\n{claim}"),
            code("run.finish()"),
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = root / "notebooks" / f"{name}.ipynb"
    normal.write_normal(path, notebook)
    return path


def make(root):
    """Make a checkout with one chapter."""
    for folder in ("notebooks", "book/results"):
        (root / folder).mkdir(parents=True)
    text = f"title: x\n\nrepository:\n  # where\n  url: {URL}\n  branch: main\n\nhtml: {{}}\n"
    (root / "_config.yml").write_text(text)
    (root / "README.md").write_text(
        f"See {URL} and https://rnn-executed.github.io/rnn-executed/.\n"
    )
    (root / "CITATION.cff").write_text(f'repository-code: "{URL}"\n')
    write_chapter(root, "01_tiny", code("print('hello from a cell')"))


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def executed(root, text="fine\n", **changes):
    """Make what a run leaves behind, without running."""
    path = root / "notebooks" / "01_tiny.ipynb"
    notebook = notebooks.read(path)
    output = {"output_type": "stream", "name": "stdout", "text": text}
    notebook["cells"][3].update(outputs=[output], execution_count=4)
    copy = root.parent / "seed0.ipynb"
    copy.write_text(json.dumps(notebook))
    result = {
        **course.Run("01_tiny", "cpu", 0).results(),
        "code_sha256": notebooks.code_hash(path),
        **changes,
    }
    return path, result, copy
