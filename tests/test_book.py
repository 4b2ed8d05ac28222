"""The book builds without a warning, is whole, and every page can be read offline.

What is asked here is asked of the built HTML, by the standard library's parser alone;
tests/browser asks what only a browser can tell.
"""

import gzip
import html.parser
import importlib
import pkgutil
import posixpath
import re
import runpy
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

import rnnlib

ROOT = Path(__file__).resolve().parents[1]
PAGE_LIMIT = 3_000_000  # bytes
RESOURCES = {
    "script": "src",
    "img": "src",
    "link": "href",
    "source": "src",
    "iframe": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
    "embed": "src",
}
FETCHED = {"stylesheet", "icon", "preload", "modulepreload"}  # of <link>, by rel


PAGES = runpy.run_path(str(ROOT / "book" / "check.py"))["expected_pages"]()
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]


def build(folder):
    """Build the book below the folder, as ``make book`` does, and return its HTML folder."""
    program = Path(sys.executable).with_name("jupyter-book")
    options = ["--all", "-W", "-n", "--keep-going", "--path-output", folder]
    done = subprocess.run(
        [program, "build", *options, ROOT], capture_output=True, text=True, encoding="utf8"
    )
    said = done.stdout + done.stderr
    problems = "\n".join(re.findall(r".*(?:WARNING|ERROR).*", said)) or said[-3000:]
    assert done.returncode == 0, f"the book does not build cleanly:\n{problems}"
    return Path(folder) / "_build" / "html"


class Page(html.parser.HTMLParser):
    """One built page: its ids, links, images and what it fetches when it is opened."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.images, self.resources, self.meta = set(), [], [], [], {}
        self.text = path.read_text(encoding="utf8")
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        """Keep what the tests ask for."""
        a = dict(attributes)
        self.ids |= {a[key] for key in ("id", "name") if a.get(key)}
        if tag == "a" and a.get("href"):
            self.links.append(a["href"])
        if tag == "img":
            self.images.append((a.get("src", ""), a.get("alt")))
        if tag == "meta":
            self.meta[a.get("property") or a.get("name")] = a.get("content")
        fetched = tag != "link" or FETCHED & set(a.get("rel", "").split())
        if fetched and a.get(RESOURCES.get(tag)):
            self.resources.append(a[RESOURCES[tag]])


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    return build(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="module")
def parsed(book):
    """Parse every page, by its path below the book's folder."""
    found = {path.relative_to(book).as_posix(): path for path in sorted(book.rglob("*.html"))}
    return {name: Page(path) for name, path in found.items() if not name.startswith("_static/")}


def is_local(address):
    parts = urlsplit(address)
    return not parts.netloc and parts.scheme in ("", "data")


def resolve(page, address):
    """Turn an address on a page into a path below the book's folder, and a fragment."""
    parts = urlsplit(address)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path)))
    return (path if parts.path else page), unquote(parts.fragment)


def test_the_book_has_the_pages_of_its_contents_and_no_others(parsed):
    made_by_sphinx = {"genindex.html", "py-modindex.html", "search.html"}
    assert set(parsed) - made_by_sphinx == {f"{page}.html" for page in PAGES}
    assert "search.html" in parsed


def test_every_notebook_is_in_the_contents():
    found = {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert found == set(CHAPTERS)


def test_links_inside_the_book_lead_somewhere(book, parsed):
    broken = []
    for name, page in parsed.items():
        for link in page.links:
            if not is_local(link) or link == "#":
                continue
            path, fragment = resolve(name, link)
            whole = path in parsed and (not fragment or fragment in parsed[path].ids)
            if not whole and (fragment or not (book / path).is_file()):
                broken.append(f"{name}: {link}")
    assert not broken, "\n".join(broken)


def test_images_have_words(parsed):
    bad = [
        f"{name}: {src}: {alt!r}"
        for name, page in parsed.items()
        for src, alt in page.images
        if not (alt and alt.strip()) or re.search(r"^\S*/|\.(png|svg|jpe?g|gif|webp)$", alt)
    ]
    assert not bad, "expected alternative text that says what is seen:\n" + "\n".join(bad)


def test_nothing_is_fetched_from_another_host(book, parsed):
    foreign = [f"{n}: {r}" for n, page in parsed.items() for r in page.resources if not is_local(r)]
    for css in book.rglob("*.css"):
        calls = re.findall(
            r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)", css.read_text("utf8")
        )
        foreign += [f"{css.name}: {call}" for call in calls]
    assert not foreign, "\n".join(foreign)


def test_what_a_page_fetches_is_there(book, parsed):
    for name, page in parsed.items():
        for address in page.resources:
            if not address.startswith("data:"):
                assert (book / resolve(name, address)[0]).is_file(), f"{name}: {address}"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stays_small(book, parsed, name):
    # The page itself and every script, style sheet, font and image that its HTML names,
    # each once. Text counts as it travels, in gzip; images and fonts count as they are.
    page = parsed[f"{name}.html"]
    files = {resolve(f"{name}.html", r)[0] for r in page.resources if not r.startswith("data:")}
    weight = 0
    for file in {*files, f"{name}.html"}:
        content = (book / file).read_bytes()
        text = file.endswith((".html", ".js", ".css", ".svg"))
        weight += len(gzip.compress(content)) if text else len(content)
    assert weight < PAGE_LIMIT, f"{name}: {weight / 1e6:.2f} MB"


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_can_be_opened_taken_away_and_mended(book, parsed, name):
    repository = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))["repository"]
    url, branch = repository["url"], repository["branch"]
    links = parsed[f"{name}.html"].links
    slug = url.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{slug}/blob/{branch}/{name}.ipynb"
    assert colab in links
    assert {link for link in links if "colab.research.google.com/github" in link} == {colab}
    assert f"{url}/edit/{branch}/{name}.ipynb" in links
    assert any(link.startswith(f"{url}/issues/new") for link in links)
    (download,) = {link for link in links if link.endswith(".ipynb") and is_local(link)}
    copied = book / resolve(f"{name}.html", download)[0]
    assert copied.read_bytes() == (ROOT / f"{name}.ipynb").read_bytes()


@pytest.mark.parametrize("name", CHAPTERS)
def test_figures_and_equations_carry_the_chapters_number(parsed, name):
    number = int(re.search(r"\d+", name)[0])
    text = parsed[f"{name}.html"].text
    figures = re.findall(r'class="caption-number">Fig\. ([\d.]+) ', text)
    equations = re.findall(r'class="eqno">\(([\d.]+)\)', text)
    assert figures == [f"{number}.{n}" for n in range(1, len(figures) + 1)]
    assert equations == [f"{number}.{n}" for n in range(1, len(equations) + 1)]
    assert figures
    assert equations
    assert re.search(rf'<h1><span class="section-number">{number}\. ', text)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_tells_other_sites_what_it_is(book, parsed, name):
    meta = parsed[f"{name}.html"].meta
    repository = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))["repository"]
    _, owner, title = urlsplit(repository["url"]).path.split("/")
    site = f"https://{owner}.github.io/{title}/"
    assert meta["og:title"]
    assert meta["og:url"] == f"{site}{name}.html"
    assert meta["og:image"].startswith(site)
    assert (book / meta["og:image"].removeprefix(site)).is_file()
    assert meta["og:image:alt"]
    assert len(meta["description"]) > 20


def test_pages_have_copy_buttons_and_an_icon(parsed):
    for name in PAGES:
        resources = " ".join(parsed[f"{name}.html"].resources)
        assert "copybutton.js" in resources
        assert "favicon" in resources


def test_thebe_and_other_unused_scripts_are_left_out(parsed):
    for name in PAGES:
        assert "thebe" not in " ".join(parsed[f"{name}.html"].resources)
        assert "THEBE" not in parsed[f"{name}.html"].text


def test_the_library_page_covers_every_module(parsed):
    modules = {"rnnlib.data"} | {
        info.name
        for info in pkgutil.walk_packages(rnnlib.__path__, "rnnlib.")
        if not info.ispkg and "_" not in info.name
    }
    behind_data = {f"rnnlib.data.{name}" for name in ("archives", "errors", "registry", "store")}
    ids = parsed["book/api.html"].ids
    missing = {m for m in modules - behind_data if f"module-{m}" not in ids}
    assert not missing
    for name in importlib.import_module("rnnlib.data").__all__:
        assert any(i.startswith("rnnlib.data") and i.endswith(f".{name}") for i in ids), name


def test_bibliography_entries_have_keys_of_one_form_and_say_where():
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf8")
    entries = re.findall(r"@(\w+)\{([^,]+),(.*?)\n\}", text, re.DOTALL)
    assert len(entries) == text.count("\n@")
    for kind, key, body in entries:
        match = re.fullmatch(r"[a-z]+(\d{4})[a-z]+", key)
        assert match, f"expected a key such as elman1990finding, got {key}"
        fields = dict(re.findall(r"(\w+)\s*=\s*\{(.*)\},?", body))
        assert fields["year"] == match[1], key
        assert {"author", "title"} <= set(fields), key
        if kind in ("article", "misc"):
            assert {"doi", "eprint", "url"} & set(fields), f"{key}: no doi, eprint or url"
        assert fields.get("doi", "10.").startswith("10."), key


def test_data_sets_are_cited():
    from rnnlib.data import DATASETS

    text = (ROOT / "book" / "references.bib").read_text(encoding="utf8")
    for data in DATASETS.values():
        assert f"{{{data.citation}," in text, data.citation


def test_the_pdf_script_opens_what_is_folded(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<details class="solution"><summary>a</summary></details><details open></details>'
        '<img loading="lazy" src="a.png">',
        encoding="utf8",
    )
    runpy.run_path(str(ROOT / "book" / "pdf.py"))["open_details"](page)
    assert page.read_text(encoding="utf8") == (
        '<details open class="solution"><summary>a</summary></details><details open></details>'
        '<img src="a.png">'
    )
