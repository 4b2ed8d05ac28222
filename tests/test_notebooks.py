"""Every chapter: its form, and a run at smoke scale with injected parameters."""

import ast
import json
import os
import re
from pathlib import Path

import pytest

from rnnlib import address, normal, notebooks

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = notebooks.chapters(ROOT)
SECTIONS = ["Where it breaks", "Exercises", "Self-check", "Summary", "Further reading"]

chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def test_there_are_chapters():
    assert len(CHAPTERS) >= 2
    numbers = [path.stem[:2] for path in CHAPTERS]
    assert len(set(numbers)) == len(numbers)


def test_the_book_holds_exactly_these_chapters():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf8")
    listed = re.findall(r"^ *- file: notebooks/([\w-]+)$", toc, re.MULTILINE)
    assert sorted(listed) == [path.stem for path in CHAPTERS]
    assert listed == sorted(listed)


def cells(path, kind):
    return [cell for cell in notebooks.read(path)["cells"] if cell["cell_type"] == kind]


def headings(path):
    """Return the level and text of each heading, in order."""
    found = []
    for cell in cells(path, "markdown"):
        prose = re.sub(r"^```.*?^```", "", cell["source"], flags=re.MULTILINE | re.DOTALL)
        found += re.findall(r"^(#+) +(.+?) *$", prose, re.MULTILINE)
    return [(len(marks), text) for marks, text in found]


def section(path, name):
    """Return the cells, or parts of them, from a second-level heading up to the next."""
    inside, found = False, []
    for cell in notebooks.read(path)["cells"]:
        prose = cell["cell_type"] == "markdown"
        parts = re.split(r"^(?=## )", cell["source"], flags=re.MULTILINE)
        for part in parts if prose else [cell["source"]]:
            if prose and part.startswith("## "):
                inside = part.splitlines()[0] == f"## {name}"
            if inside:
                found.append({**cell, "source": part})
    return found


def text_of(some):
    return "\n".join(cell["source"] for cell in some)


def solutions(text):
    """Return the hidden blocks of a text that a Markdown reader will render as Markdown."""
    return re.findall(r"<details[^>]*>\s*<summary>.+?</summary>\n\n.+?\n\n</details>", text, re.S)


# Form


@chapter
def test_parameters(path):
    tagged = [c for c in notebooks.read(path)["cells"] if "parameters" in notebooks.tags(c)]
    (cell,) = tagged
    assert cells(path, "code")[0] == cell
    body = ast.parse(cell["source"]).body
    assert all(isinstance(line, ast.Assign) for line in body)
    values = {line.targets[0].id: ast.literal_eval(line.value) for line in body}
    assert values == {"SCALE": "auto", "SEED": 0}


@chapter
def test_setup_cell(path):
    cell = cells(path, "code")[1]
    template = address.setup_cell(path.stem, *address.current(ROOT))
    source = address.one_line(cell["source"])
    assert source.startswith(template)
    ending, _, rest = source.removeprefix(template).partition("\n")
    assert ending in (")", ", numpy_only=True)")
    rest = ast.parse(rest).body
    assert all(isinstance(line, ast.Import | ast.ImportFrom) for line in rest)
    assert "hide-input" in notebooks.tags(cell)
    assert text_of(cells(path, "code")).count("course.start(") == 1


@chapter
def test_opening(path):
    first = notebooks.read(path)["cells"][0]
    assert first["cell_type"] == "markdown"
    assert first["source"].startswith("# ")
    link = address.colab_link(path.stem, *address.current(ROOT))
    assert f"]({link})" in first["source"]
    opening = text_of(notebooks.read(path)["cells"][:2]).lower()
    for word in ("be able to", "prerequisite|you need", "minute", "cpu|laptop", "t4|colab"):
        assert re.search(word, opening), word


@chapter
def test_ends_by_writing_its_results(path):
    code = cells(path, "code")
    assert code[-1]["source"].strip() == "run.finish()"
    assert text_of(code).count("run.finish(") == 1


@chapter
def test_claims_and_exact_outputs(path):
    code = [cell["source"] for cell in cells(path, "code")]
    exact = [c for c in cells(path, "code") if "nbval-check-output" in notebooks.tags(c)]
    assert len(exact) >= 5
    assert any("run.claim(" in source for source in code)
    assert any("run.record(" in source for source in code)
    assert not any("NBVAL_" in source for source in code), "use a tag: readers see comments"
    assert not any("nbval-skip" in notebooks.tags(c) for c in cells(path, "code"))
    assert not any("nbval-ignore-output" in notebooks.tags(c) for c in cells(path, "code"))
    assert all(c["outputs"] for c in exact), "a checked cell without output checks nothing"


@chapter
def test_sections(path):
    assert sum(level == 1 for level, _ in headings(path)) == 1
    names = [text for level, text in headings(path) if level == 2]
    assert [name for name in names if name in SECTIONS] == SECTIONS
    assert names[-len(SECTIONS) :] == SECTIONS
    levels = [level for level, _ in headings(path)]
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:])), "a level of headings is left out"
    assert "{cite" in text_of(section(path, "Further reading"))


@chapter
def test_exercises(path):
    some = section(path, "Exercises")
    text = text_of(cell for cell in some if cell["cell_type"] == "markdown")
    number = int(path.stem[:2])
    titles = re.findall(r"^### Exercise (\d+)\.(\d+) \((.+)\)$", text, re.MULTILINE)
    assert len(titles) >= 3
    assert [(int(a), int(b)) for a, b, _ in titles] == [(number, i + 1) for i in range(len(titles))]
    for kind in ("derivation", "coding", "open"):
        assert any(kind in title for *_, title in titles), kind
    assert len(solutions(text)) >= len(titles)
    for cell in some:
        if cell["cell_type"] == "code" and "run.finish" not in cell["source"]:
            assert "hide-cell" in notebooks.tags(cell), "a solution's code must be hidden"


@chapter
def test_self_check(path):
    text = text_of(section(path, "Self-check"))
    assert len(solutions(text)) == 5
    assert text.count("<details") == 5


@chapter
def test_details_are_well_formed(path):
    text = text_of(cells(path, "markdown"))
    assert text.count("<details") == text.count("</details>") == len(solutions(text))


@chapter
def test_figures_have_alt_text_and_a_caption(path):
    names = []
    for index, cell in enumerate(cells(path, "code")):
        images = [
            kind
            for output in cell["outputs"]
            for kind in output.get("data", {})
            if kind.startswith("image/")
        ]
        where = f"code cell {index + 1}"
        figure = cell["metadata"].get("mystnb", {})
        if not images:
            assert "figure" not in figure, f"{where} has a caption but no figure"
            continue
        assert len(images) == 1, f"{where}: one figure a cell, so that each has its caption"
        assert len(figure["image"]["alt"]) > 20, where
        assert len(figure["figure"]["caption"]) > 20, where
        assert re.fullmatch(rf"fig-{path.stem[:2]}-[a-z0-9-]+", figure["figure"]["name"]), where
        names.append(figure["figure"]["name"])
    assert names
    assert len(set(names)) == len(names)
    prose = text_of(cells(path, "markdown"))
    assert set(re.findall(r"\{numref\}`(?:[^`<]*<)?([\w-]+)>?`", prose)) <= set(names)


@chapter
def test_cells_are_short(path):
    for index, cell in enumerate(cells(path, "code")):
        lines = cell["source"].splitlines()
        assert lines, f"code cell {index + 1} is empty"
        assert len(lines) <= 40, f"code cell {index + 1} has {len(lines)} lines"
        if not address.has_setup(cell["source"], path.stem, *address.current(ROOT)):
            wide = [line for line in lines if len(line) > 88]
            assert not wide, f"code cell {index + 1}: {wide[0]}"


@chapter
def test_outputs_are_there_and_no_errors(path):
    code = cells(path, "code")
    kinds = [output["output_type"] for cell in code for output in cell["outputs"]]
    assert "error" not in kinds
    assert "display_data" in kinds
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    opened = "".join(notebooks.joined(o.get("text", "")) for o in code[1]["outputs"])
    assert f"{path.stem} · scale cpu · device cpu · seed 0" in opened, "save it with: run --save"
    stderr = [o for cell in code for o in cell["outputs"] if o.get("name") == "stderr"]
    assert not stderr, notebooks.joined(stderr[0]["text"])


@chapter
def test_normal_form_and_size(path):
    assert not normal.format_file(path, check=True), "run: python -m rnnlib format"
    assert notebooks.machine_paths(notebooks.read(path)) == []
    assert path.stat().st_size < 1_000_000


# A run


def processor_seconds():
    """Of all processes started here that have ended; on Windows, which does not say, 0."""
    return sum(os.times()[2:4])


@chapter
def test_runs_at_smoke_scale_with_injected_parameters(path, tmp_path, monkeypatch):
    import papermill

    monkeypatch.setenv("RNNLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.delenv("RNNLIB_SCALE", raising=False)
    before = path.read_bytes()
    began = processor_seconds()
    papermill.execute_notebook(
        path,
        tmp_path / path.name,
        parameters={"SCALE": "smoke", "SEED": 7},
        cwd=path.parent,
        progress_bar=False,
        kernel_name="python3",
    )
    assert processor_seconds() - began < 40
    assert path.read_bytes() == before
    (written,) = (tmp_path / "results").rglob("*.json")
    assert written == tmp_path / "results" / "smoke" / f"{path.stem}.json"
    result = json.loads(written.read_text(encoding="utf8"))
    assert (result["scale"], result["seeds"]) == ("smoke", [7])
    assert result["code_sha256"] == notebooks.code_hash(path)
    assert result["claims"]
    assert result["metrics"]
    assert {claim["status"] for claim in result["claims"]} <= {"pass", "not checked"}
    assert set(result["data"].values()) <= {"stand-in"}
