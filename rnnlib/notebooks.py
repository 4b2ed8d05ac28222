"""Notebooks as files: where they are, what they hold, and the hash of their code.

Nothing here needs Jupyter: a notebook is read as the JSON that it is.
"""

import hashlib
import json
import os
import re
from pathlib import Path

_MACHINE_PATH = re.compile(
    r"(?<![\w.:/-])/(?:home|root|Users|tmp|work|private|mnt|opt|content|var/folders)/[\w.-]+"
    r"|\b[A-Za-z]:\\+(?:Users|Windows|Program|Temp)\w*"
)


def find_root():
    """Find the checkout: the folder with ``_config.yml`` and ``notebooks``.

    Looked for upwards from the working directory, then above this package.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If neither place is inside a checkout.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (folder / "_config.yml").exists() and (folder / "notebooks").is_dir():
            return folder
    raise FileNotFoundError(
        f"expected to be inside a checkout of the course (with _config.yml and notebooks/), "
        f"but {here} is not: change into the folder that you cloned"
    )


def chapters(root):
    """List the chapters' notebooks, ``notebooks/NN_name.ipynb``, in order."""
    return sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def find_chapter(root, wanted):
    """Find a chapter's notebook by number ("03", "3") or by name ("03_bptt", "bptt").

    Raises
    ------
    ValueError
        If there is no such chapter; the message lists those that there are.
    """
    wanted = str(wanted).removesuffix(".ipynb")
    for path in chapters(root):
        number, name = path.stem.split("_", 1)
        if wanted in (number, number.lstrip("0"), name, path.stem):
            return path
    known = ", ".join(path.stem for path in chapters(root)) or "none yet"
    raise ValueError(f"no chapter {wanted!r}; there are: {known}")


def read(path):
    """Read a notebook as a dictionary, with every source joined to one string."""
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf8"))
        for cell in notebook["cells"]:
            cell["source"] = joined(cell["source"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a notebook: {error!r}") from error
    if notebook.get("nbformat") != 4:
        raise ValueError(f"{path}: expected nbformat 4, got {notebook.get('nbformat')}")
    return notebook


def title(notebook):
    """Return the first heading of a notebook, or an empty string."""
    for cell in notebook["cells"]:
        match = re.search(r"^# +(.+)", cell["source"], re.MULTILINE)
        if cell["cell_type"] == "markdown" and match:
            return match[1].strip()
    return ""


def tags(cell):
    """Return the tags of a cell."""
    return cell.get("metadata", {}).get("tags", [])


def code_hash(path):
    """Hash the code cells of a notebook, so that results can name their code.

    A cell that papermill injected does not count, nor do outputs, prose, metadata, nor
    lines that begin with ``%pip``: these name the repository's address, which differs
    in a fork that runs the very same code.

    Returns
    -------
    str
        sha256 in hexadecimal.
    """
    digest = hashlib.sha256()
    for cell in read(path)["cells"]:
        if cell["cell_type"] == "code" and "injected-parameters" not in tags(cell):
            lines = cell["source"].splitlines()
            source = "\n".join(line for line in lines if not line.lstrip().startswith("%pip"))
            digest.update(source.encode() + b"\0")
    return digest.hexdigest()


def machine_paths(notebook):
    """List what looks like a path of one machine, as (cell's index, path)."""
    return [
        (index, match[0])
        for index, cell in enumerate(notebook["cells"])
        for text in (cell["source"], *map(_text_of, cell.get("outputs", [])))
        for match in _MACHINE_PATH.finditer(text)
    ]


def write_whole(path, text):
    """Write a text file so that it is never seen half written."""
    part = Path(path).with_name(f"{Path(path).name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf8", newline="\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def joined(text):
    """Join a source or an output that is stored as a list of lines."""
    return text if isinstance(text, str) else "".join(text)


def _text_of(output):
    texts = [output.get("text", ""), output.get("evalue", ""), output.get("traceback", "")]
    texts += [v for k, v in output.get("data", {}).items() if k.startswith("text/")]
    return "\n".join(map(joined, texts))
