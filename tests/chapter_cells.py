"""Take functions out of a chapter's cells, so that a test can call what the page prints."""

import ast
import functools
from pathlib import Path

from rnnlib import notebooks

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"


@functools.cache
def _definitions(chapter):
    found = {}
    for cell in notebooks.read(FOLDER / f"{chapter}.ipynb")["cells"]:
        lines = cell["source"].splitlines()
        if cell["cell_type"] != "code" or any(line.lstrip().startswith("%") for line in lines):
            continue
        for node in ast.parse(cell["source"]).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = ast.unparse(node)
    return found


def functions(chapter, *names, **given):
    """Execute the named functions of a chapter, in this order; return their namespace.

    Parameters
    ----------
    chapter : str
        The notebook's name without its ending.
    *names : str
        Functions defined at the top level of its cells.
    **given : object
        What they need besides each other, such as ``np=numpy``.

    Returns
    -------
    dict
        The functions by their names, along with what was given.
    """
    space = dict(given)
    for name in names:
        exec(compile(_definitions(chapter)[name], f"{chapter}: {name}", "exec"), space)
    return space
