"""The one normal form of a notebook file, so that a change in git is a change in the chapter."""

import base64
import hashlib
import io
import json
import re
from pathlib import Path

from rnnlib.notebooks import joined, read, tags, write_whole

_KEPT_METADATA = ("tags", "mystnb", "jupyter", "cellView", "nbgrader", "slideshow")
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
_WIDGET = "application/vnd.jupyter.widget-view+json"


def write_normal(path, notebook):
    """Write a notebook in normal form, all of it or nothing."""
    write_whole(path, dumps(normalise(notebook)))


def format_file(path, check=False):
    """Bring a notebook file into normal form; with ``check``, only say whether it is not.

    Returns
    -------
    bool
        True if the file was, or is, in another form.
    """
    notebook = read(path)
    # Bytes, so that carriage returns at the ends of lines count as a difference.
    changed = Path(path).read_bytes() != dumps(normalise(notebook)).encode()
    if changed and not check:
        write_normal(path, notebook)
    return changed


def dumps(notebook):
    """Turn a notebook into the text of its file."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def normalise(notebook):
    """Return a notebook in normal form; applied twice it gives the same again.

    Dropped: metadata of editors, papermill and widgets, injected parameters, the residue
    of progress bars, folders before ``site-packages``. Execution counts run from 1; cells
    without a valid id get one that follows from their text; cells that the book hides are
    hidden by Colab and JupyterLab too; figures are stored as the smaller of two PNGs.
    """
    cells, used, count = [], set(), 0
    for old in notebook["cells"]:
        if "injected-parameters" in tags(old) or "papermill-error-cell-tag" in tags(old):
            continue
        source = joined(old["source"]).replace("\r\n", "\n")
        cell = {"cell_type": old["cell_type"], "source": source.splitlines(True)}
        cell["id"] = _cell_id(old.get("id"), source, used)
        cell["metadata"] = _cell_metadata(old)
        if "attachments" in old:
            cell["attachments"] = old["attachments"]
        if old["cell_type"] == "code":
            cell["outputs"] = _outputs(old.get("outputs", []))
            ran = bool(cell["outputs"]) or old.get("execution_count") is not None
            count += ran
            cell["execution_count"] = count if ran else None
            for output in cell["outputs"]:
                if output["output_type"] == "execute_result":
                    output["execution_count"] = count
        cells.append(cell)
    metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    if "accelerator" in notebook.get("metadata", {}):  # what Colab should start with
        metadata["accelerator"] = notebook["metadata"]["accelerator"]
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _cell_id(old, source, used):
    """Keep a valid id; else derive one from the text, so that it does not change."""
    new, attempt = old, 0
    while not (isinstance(new, str) and re.fullmatch(r"[\w-]{1,64}", new, re.ASCII)) or new in used:
        new = hashlib.sha256(f"{attempt}\0{source}".encode()).hexdigest()[:12]
        attempt += 1
    used.add(new)
    return new


def _cell_metadata(cell):
    old = cell.get("metadata", {})
    new = {key: old[key] for key in _KEPT_METADATA if old.get(key)}
    if "tags" in new:
        new["tags"] = list(dict.fromkeys(new["tags"]))
    if cell["cell_type"] == "code":  # the tags alone decide what is hidden
        new.pop("cellView", None)
        jupyter = {k: v for k, v in new.pop("jupyter", {}).items() if k == "outputs_hidden"}
        if {"hide-input", "hide-cell"} & set(tags(cell)):
            jupyter["source_hidden"] = True
            new["cellView"] = "form"
        if jupyter:
            new["jupyter"] = jupyter
    return new


def _outputs(outputs):
    merged = []
    for output in outputs:
        output = dict(output)
        if output["output_type"] == "stream":
            output["text"] = joined(output["text"])
            last = merged[-1] if merged else {}
            if last.get("output_type") == "stream" and last["name"] == output["name"]:
                last["text"] += output["text"]
                continue
        elif _WIDGET in output.get("data", {}):
            continue
        merged.append(output)
    kept = []
    for output in merged:
        if output["output_type"] == "stream":
            text = _shorten(as_on_screen(output["text"]))
            if not text or (text != output["text"] and not text.strip()):
                continue  # nothing but a progress bar
            output["text"] = text.splitlines(True)
        elif "data" in output:
            output.pop("transient", None)
            output["data"] = {kind: _datum(kind, v) for kind, v in output["data"].items()}
            output["metadata"] = {
                k: v for k, v in output.get("metadata", {}).items() if k in output["data"]
            }
        kept.append(output)
    return kept


def _datum(kind, value):
    if kind == "image/png":
        return smaller_png(joined(value))
    if kind.startswith("text/") or kind == "image/svg+xml":
        text = _shorten(joined(value))
        if kind == "image/svg+xml":
            text = re.sub(r"<dc:date>.*?</dc:date>", "", text, flags=re.DOTALL)
        return text.splitlines(True)
    return value


def _shorten(text):
    """Leave out the folders that a package, or a cell's temporary file, was in."""
    text = re.sub(r"(?:[A-Za-z]:)?[/\\][^\s\"'<>]*?site-packages[/\\]", "site-packages/", text)
    return re.sub(r"\S*ipykernel_\d+[/\\]\d+\.py", "cell.py", text)


def as_on_screen(text):
    r"""Return what a terminal would show after printing a text with ``\r`` and the like."""
    if not re.search(r"[\r\b\x1b]", text):
        return text
    rows, row, column, touched = [[]], 0, 0, set()
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\s\S]", text.replace("\r\n", "\n")):
        if piece == "\n":
            row, column = row + 1, 0
            if row == len(rows):
                rows.append([])
        elif piece in "\r\b":
            column = 0 if piece == "\r" else max(column - 1, 0)
            touched.add(row)
        elif piece.startswith("\x1b"):
            if piece[-1] == "A":
                row = max(row - int(re.match(r"\d*", piece[2:])[0] or 1), 0)
            elif piece[-1] == "K" and piece[2:-1] in ("", "0"):
                del rows[row][column:]
        else:
            rows[row].extend(" " * (column - len(rows[row])))
            rows[row][column : column + 1] = piece
            column += 1
    lines = ["".join(chars) for chars in rows]
    return "\n".join(s.rstrip() if i in touched else s for i, s in enumerate(lines))


def smaller_png(text):
    """Re-compress a PNG (base64) where Pillow makes it smaller at equal pixels."""
    text = "".join(text.split())
    try:
        from PIL import Image
    except ImportError:
        return text
    old = base64.b64decode(text)
    image = Image.open(io.BytesIO(old)).convert("RGBA")
    opaque = image.getchannel("A").getextrema()[0] == 255
    best = old
    for small in _same_pixels(image.convert("RGB") if opaque else image):
        file = io.BytesIO()
        small.save(file, "png", optimize=True)
        if len(file.getvalue()) < len(best) and small.convert("RGBA").tobytes() == image.tobytes():
            best = file.getvalue()
    return base64.b64encode(best).decode()


def _same_pixels(image):
    yield image
    if image.mode == "RGB" and image.getcolors(256):
        yield image.convert("P", palette=1, colors=256)
