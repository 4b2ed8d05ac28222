"""rnnlib.normal: the one normal form of a notebook."""

import base64
import copy
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rnnlib import normal, notebooks


def png(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", **options)
    return base64.b64encode(file.getvalue()).decode()


def pixels_of(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA"))


def code(source="1 + 1", outputs=(), **other):
    cell = {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": {}}
    return {**cell, "execution_count": None, **other}


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def shown(data, **other):
    return {"output_type": "display_data", "data": data, "metadata": {}, **other}


def notebook(*cells, **metadata):
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}


def normal_cells(*cells):
    return normal.normalise(notebook(*cells))["cells"]


def outputs(*given):
    return normal_cells(code(outputs=given))[0]["outputs"]


def messy():
    """Return a notebook as papermill, Colab and Jupyter leave one behind."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 4), np.uint8)
    noise[..., 3] = 255
    return notebook(
        {"cell_type": "markdown", "metadata": {"id": "x"}, "source": ["# Title\n", "text"]},
        code("SEED = 0", metadata={"tags": ["parameters"], "papermill": {"duration": 1}}),
        code("SEED = 3", metadata={"tags": ["injected-parameters"]}, execution_count=2),
        code("#@title Set-up\r\nimport x", metadata={"tags": ["hide-input"]}, execution_count=7),
        code(
            "train()",
            [
                stream("a\n"),
                stream("\r 50%|##  |\r100%|####|\r            \r"),
                stream("b\n"),
                stream("/home/ada/env/lib/python3.12/site-packages/x/y.py:3: Warning\n", "stderr"),
                shown({normal._WIDGET: {"model_id": "1"}, "text/plain": "HBox()"}),
                shown({"image/png": png(noise) + "\n"}, metadata={"needs_background": "light"}),
                {
                    "output_type": "execute_result",
                    "execution_count": 31,
                    "data": {"text/plain": "2"},
                    "metadata": {},
                },
            ],
            id="kept-id",
            execution_count=31,
        ),
        code("never_run()"),
        papermill={"input_path": "/tmp/x.ipynb", "start_time": "2026-01-01"},
        widgets={"application/vnd.jupyter.widget-state+json": {}},
        kernelspec={"name": "venv", "display_name": "My env", "language": "python"},
        language_info={"name": "python", "version": "3.12.1"},
        colab={"provenance": []},
    )


def test_messy_notebook():
    before = messy()
    got = normal.normalise(copy.deepcopy(before))
    assert got["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert (got["nbformat"], got["nbformat_minor"]) == (4, 5)
    title, parameters, setup, train, never = got["cells"]
    assert title["metadata"] == {}
    assert title["source"] == ["# Title\n", "text"]
    assert parameters["metadata"] == {"tags": ["parameters"]}
    assert parameters["execution_count"] is None
    assert setup["metadata"] == {
        "tags": ["hide-input"],
        "jupyter": {"source_hidden": True},
        "cellView": "form",
    }
    assert setup["source"] == ["#@title Set-up\n", "import x"]
    assert (setup["execution_count"], train["execution_count"]) == (1, 2)
    assert never["execution_count"] is None
    assert train["id"] == "kept-id"
    out, err, figure, value = train["outputs"]
    assert out["text"] == ["a\n", "b\n"]
    assert err["text"] == ["site-packages/x/y.py:3: Warning\n"]
    assert figure["metadata"] == {}
    assert value["execution_count"] == 2
    assert notebooks.machine_paths({**got, "cells": notebooks_cells(got)}) == []


def notebooks_cells(got):
    return [{**cell, "source": "".join(cell["source"])} for cell in got["cells"]]


def test_twice_is_once_and_input_is_left_alone():
    before = messy()
    kept = copy.deepcopy(before)
    once = normal.normalise(before)
    assert before == kept
    assert normal.dumps(normal.normalise(json.loads(normal.dumps(once)))) == normal.dumps(once)


def test_result_is_a_valid_notebook(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    text = normal.dumps(normal.normalise(messy()))
    nbformat.validate(nbformat.reads(text, as_version=4))
    # The layout is nbformat's own, so that saving in Jupyter gives no noise in git.
    assert nbformat.writes(nbformat.reads(text, as_version=4)).rstrip("\n") + "\n" == text


def test_file_round(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(messy()), encoding="utf8")
    before = path.read_bytes()
    assert normal.format_file(path, check=True)
    assert path.read_bytes() == before
    assert normal.format_file(path)
    assert not normal.format_file(path)
    assert not normal.format_file(path, check=True)
    text = path.read_bytes()
    assert text.endswith(b"}\n")
    assert text.startswith(b'{\n "cells"')
    path.write_bytes(text.replace(b"\n", b"\r\n"))
    assert normal.format_file(path)
    assert path.read_bytes() == text


def test_not_ascii_is_kept_readable(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(notebook(code("'θ'"))), encoding="utf8")
    normal.format_file(path)
    assert "θ" in path.read_text(encoding="utf8")


@pytest.mark.parametrize("text", ["", "[]", '{"cells": 3}', '{"cells": [], "nbformat": 3}'])
def test_file_that_is_no_notebook(tmp_path, text):
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a\.ipynb"):
        normal.format_file(path)
    assert path.read_text() == text


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(messy()))
    before = path.read_bytes()

    def full(old, new):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rnnlib.notebooks.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        normal.format_file(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# Cells


def test_ids_are_kept_if_valid_and_unique_else_follow_from_the_text():
    cells = [code("a", id="one"), code("b", id="one"), code("c", id="not valid!"), code("c")]
    ids = [cell["id"] for cell in normal_cells(*cells)]
    assert ids[0] == "one"
    assert len(set(ids)) == 4
    assert ids == [cell["id"] for cell in normal_cells(*cells)]
    assert normal_cells(code("new"), *cells)[3]["id"] == ids[2]  # cells before do not matter


def test_counts_run_from_one_over_what_ran():
    cells = [code(execution_count=9), code(), code(outputs=[stream("x")]), code(execution_count=4)]
    assert [c["execution_count"] for c in normal_cells(*cells)] == [1, None, 2, 3]


@pytest.mark.parametrize("tag", ["hide-input", "hide-cell"])
def test_hidden_cells_follow_the_tags(tag):
    (cell,) = normal_cells(code(metadata={"tags": [tag]}))
    assert cell["metadata"]["jupyter"] == {"source_hidden": True}
    assert cell["metadata"]["cellView"] == "form"
    del cell["metadata"]["tags"]
    (cell,) = normal_cells(cell)
    assert cell["metadata"] == {}


def test_figure_metadata_is_kept():
    figure = {"image": {"alt": "A line"}, "figure": {"caption": "It falls.", "name": "fig-1"}}
    (cell,) = normal_cells(code(metadata={"mystnb": figure, "scrolled": True}))
    assert cell["metadata"] == {"mystnb": figure}


# Streams


@pytest.mark.parametrize(
    ("text", "screen"),
    [
        ("plain\n", "plain\n"),
        ("a\rb", "b"),
        ("abc\rX", "Xbc"),
        ("  0%|  |\r 50%|# |\r         \rdone\n", "done\n"),
        ("bar\r   \r", ""),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("ab\b\bX", "Xb"),
        ("\x1b[31mred\x1b[0m\n", "red\n"),
        ("outer 1\ninner 1\x1b[A\router 2\n\rinner 2", "outer 2\ninner 2"),
        ("long line\r\x1b[Kshort\n", "short\n"),
        ("keep  \nx\ry", "keep  \ny"),
        ("\x1b[?25lx", "x"),
    ],
)
def test_what_a_terminal_would_show(text, screen):
    assert normal.as_on_screen(text) == screen


@given(st.lists(st.sampled_from([*"ab \n\r\b", "\x1b[A", "\x1b[K"]), max_size=40).map("".join))
@settings(max_examples=200, deadline=None)
def test_screen_twice_is_once(text):
    screen = normal.as_on_screen(text)
    assert not set(screen) & set("\r\b\x1b")
    assert normal.as_on_screen(screen) == screen


def test_streams_merge_by_name_but_keep_their_order():
    got = outputs(stream("a\n"), stream("b\n"), stream("w\n", "stderr"), stream("c\n"))
    assert [(o["name"], "".join(o["text"])) for o in got] == [
        ("stdout", "a\nb\n"),
        ("stderr", "w\n"),
        ("stdout", "c\n"),
    ]


def test_a_bar_alone_leaves_no_output_but_a_printed_blank_line_does():
    assert outputs(stream("\r 10%\r    \r")) == []
    assert outputs(stream("\n"))[0]["text"] == ["\n"]


def test_paths_of_packages_and_cells_are_shortened():
    text = (
        r"C:\Users\Ada\env\Lib\site-packages\torch\x.py:1 "
        "/tmp/ipykernel_12/345.py:2 File /usr/lib/python3/site-packages/a.py"
    )
    (got,) = outputs(stream(text))
    assert got["text"] == [r"site-packages/torch\x.py:1 cell.py:2 File site-packages/a.py"]


@pytest.mark.parametrize(
    "path", ["/home/ada/x", "/Users/ada", "/tmp/tmpx1/y", "/root/.cache", r"C:\Users\ada"]
)
def test_machine_paths_are_found(path):
    cells = [code("x"), code("y", [stream(f"saved in {path}, done")])]
    assert [index for index, _ in notebooks.machine_paths(notebook(*cells))] == [1]
    cells = [code(f"open({path!r})")]
    assert len(notebooks.machine_paths(notebook(*cells))) == 1


@pytest.mark.parametrize(
    "text", ["https://x.org/home/page", "a/tmp/b", "and/or", "r/root", "book/results/cpu/03.json"]
)
def test_what_is_no_machine_path(text):
    assert notebooks.machine_paths(notebook(code("x", [stream(text)]))) == []


# Figures


def picture(kind):
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:120, :200]
    grey = ((x + y) % 255).astype(np.uint8)
    rgba = np.dstack([grey, grey // 2, 255 - grey, np.full_like(grey, 255)])
    if kind == "few colours":
        rgba[..., :3] = rgba[..., :3] // 64 * 64
    elif kind == "transparent":
        rgba[..., 3] = rng.integers(0, 255, grey.shape)
    elif kind == "noise":
        rgba[..., :3] = rng.integers(0, 255, (*grey.shape, 3))
    return rgba


@pytest.mark.parametrize("kind", ["smooth", "few colours", "transparent", "noise"])
def test_png_is_smaller_at_equal_pixels(kind):
    old = png(picture(kind), compress_level=1)
    new = normal.smaller_png(old + "\n")
    assert len(new) < len(old)
    np.testing.assert_array_equal(pixels_of(new), picture(kind))
    assert normal.smaller_png(new) == new


def test_png_that_is_small_already_is_kept():
    best = normal.smaller_png(png(picture("noise")))
    assert normal.smaller_png(best) == best


def test_png_that_would_lose_pixels_is_refused(monkeypatch):
    old = normal.smaller_png(png(picture("noise")))
    black = Image.new("RGB", (200, 120))
    monkeypatch.setattr(normal, "_same_pixels", lambda image: [black])
    assert normal.smaller_png(old) == old


def test_svg_date_goes():
    svg = "<svg>\n<dc:date>2026-01-01T00:00</dc:date>\n</svg>"
    (got,) = outputs(shown({"image/svg+xml": svg}))
    assert "2026" not in "".join(got["data"]["image/svg+xml"])


# The hash


def hash_of(tmp_path, *cells):
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps(notebook(*cells)), encoding="utf8")
    return notebooks.code_hash(path)


def test_hash_follows_code_alone(tmp_path):
    base = hash_of(tmp_path, code("a = 1\nb"), code("c"))
    prose = {"cell_type": "markdown", "metadata": {}, "source": "text"}
    injected = code("SEED = 3", metadata={"tags": ["injected-parameters"]})
    same = [
        (code("a = 1\nb", [stream("out")], execution_count=3), code("c")),
        (prose, code(["a = 1\n", "b"]), injected, code("c", metadata={"tags": ["x"]})),
    ]
    assert {hash_of(tmp_path, *cells) for cells in same} == {base}
    other = [(code("a = 2\nb"), code("c")), (code("c"), code("a = 1\nb")), (code("a = 1\nbc"),)]
    assert base not in {hash_of(tmp_path, *cells) for cells in other}


def test_hash_survives_a_fork_and_normalising(tmp_path):
    line = "if x:\n    %pip install git+https://github.com/{}@main\nrun()"
    base = hash_of(tmp_path, code(line.format("a/b")))
    assert base == hash_of(tmp_path, code(line.format("c/d")))
    normal.format_file(tmp_path / "n.ipynb")
    assert notebooks.code_hash(tmp_path / "n.ipynb") == base
