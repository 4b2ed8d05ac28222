"""The course's address on GitHub: shown, checked, and rewritten everywhere at once."""

from pathlib import Path

import pytest
from tiny_course import URL, contents

from rnnlib import address, normal, notebooks
from rnnlib.__main__ import main

ROOT = Path(__file__).resolve().parents[1]


def set_up(root):
    path = root / "notebooks" / "01_tiny.ipynb"
    notebook = notebooks.read(path)
    notebook["cells"][2]["source"] = address.setup_cell("01_tiny", URL, "main") + "\nimport torch"
    normal.write_normal(path, notebook)


def test_repository_shows_and_checks(root, capsys):
    assert main(["repository"]) == 1
    assert "expected one set-up cell beginning" in capsys.readouterr().out
    set_up(root)
    assert main(["repository"]) == 0
    assert capsys.readouterr().out == f"{URL}, branch main\n"
    (root / "README.md").write_text("nothing")
    assert main(["repository"]) == 1
    assert "README.md" in capsys.readouterr().out


@pytest.mark.parametrize("end", ["", "/", ".git"])
def test_rewriting_there_and_back_is_the_identity(root, end, capsys):
    set_up(root)
    path = root / "notebooks" / "01_tiny.ipynb"
    before, hashed = contents(root), notebooks.code_hash(path)
    assert main(["repository", f"https://github.com/Ada/my.rnns{end}", "--branch", "dev/x"]) == 0
    assert "rewrote README.md" in capsys.readouterr().out
    after = contents(root)
    assert all(before[name] != after[name] for name in before)
    assert not any(b"rnn-executed" in text for text in after.values())
    assert "https://Ada.github.io/my.rnns/" in (root / "README.md").read_text()
    assert "git+https://github.com/Ada/my.rnns@dev/x" in path.read_text()
    assert "/github/Ada/my.rnns/blob/dev/x/notebooks/01_tiny.ipynb" in path.read_text()
    assert notebooks.code_hash(path) == hashed  # committed results still belong to the code
    assert main(["repository", URL, "--branch", "main"]) == 0
    assert contents(root) == before


def test_branch_alone(root):
    set_up(root)
    assert main(["repository", "--branch", "next"]) == 0
    assert address.current(root) == (URL, "next")


@pytest.mark.parametrize(
    "url",
    [
        "https://gitlab.com/a/b",
        "github.com/a/b",
        "https://github.com/a",
        "https://github.com/a/b c",
    ],
)
def test_address_of_another_form(root, url, capsys):
    before = contents(root)
    assert main(["repository", url]) == 1
    assert "expected https://github.com/OWNER/NAME" in capsys.readouterr().err
    assert contents(root) == before


def test_lookalikes_are_left_alone():
    text = "x/a/bb a/b-c xa/b a/b"
    assert address._replace(text, "a/b", "c/d", "main", "main") == "x/a/bb a/b-c xa/b c/d"


def test_config_without_address(root):
    (root / "_config.yml").write_text("title: x\n")
    with pytest.raises(ValueError, match=r"repository\.url"):
        address.current(root)


def test_all_addresses_of_the_course_agree():
    assert len(notebooks.chapters(ROOT)) >= 2
    assert address.disagreements(ROOT) == []


def test_rewriting_the_course_itself_there_and_back(tmp_path):
    url, branch = address.current(ROOT)
    copied = {}
    for pattern in address._FILES:
        for path in ROOT.glob(pattern):
            copied[path.relative_to(ROOT)] = path.read_bytes()
    for name, text in copied.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text)
    address.rewrite(tmp_path, "https://github.com/somebody/their-fork", "a-branch")
    assert address.disagreements(tmp_path) == []
    left = [name for name in copied if address.slug(url) in (tmp_path / name).read_text("utf8")]
    assert left == []
    address.rewrite(tmp_path, url, branch)
    assert {name: (tmp_path / name).read_bytes() for name in copied} == copied
