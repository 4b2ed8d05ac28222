"""What a reader sees: the built pages in a real Chromium. Run with ``pytest -m browser``."""

import io
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
PAGES = runpy.run_path(str(ROOT / "book" / "check.py"))["expected_pages"]()
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]
OF_THE_THEME = {"label-content-name-mismatch", "region"}  # axe finds these without our pages


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_quietly_and_asks_no_other_host(view, site, name):
    page = view(name)
    assert [said for said in page.said if said[0] in ("error", "warning")] == []
    foreign = [url for url in page.asked if not url.startswith((site, "data:", "blob:"))]
    assert foreign == []
    assert len(page.asked) > 5


@pytest.mark.parametrize("name", PAGES)
def test_equations_are_typeset(view, name):
    page = view(name)
    sources = page.locator("span.math, div.math").count()
    typeset = page.locator(".math mjx-container svg").count()
    assert typeset >= sources
    wrong = page.locator(".math [data-mml-node=merror], .math [fill=red]")  # red: unknown macro
    assert wrong.count() == 0
    left = page.evaluate(r"document.querySelector('article').innerText.match(/\\\(|\\\[|\$\$/)")
    assert left is None
    if name in CHAPTERS or name == "book/notation":
        assert sources > 0


def test_search_finds_a_word(view):
    page = view("index")
    page.keyboard.press("Control+k")
    page.locator("input[name=q]:visible").first.fill("truncated")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=truncated*")
    page.locator("#search-results li a").first.wait_for()
    page.wait_for_load_state("networkidle")
    found = page.locator("#search-results li a").evaluate_all("links => links.map(a => a.href)")
    assert any("notebooks/03_bptt.html" in link for link in found)
    assert any("book/glossary.html" in link for link in found)
    page.locator("#search-results li a[href*='03_bptt']").first.click()
    page.wait_for_url("**/notebooks/03_bptt.html*")


@pytest.mark.parametrize("name", ["index", *CHAPTERS])
def test_figures_keep_a_white_ground_in_the_dark(view, name):
    page = view(name, scheme="dark")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(n) for n in ground[4:-1].split(",")[:3]) < 80, ground
    images = page.locator("article img")
    assert images.count() > 0
    for n in range(images.count()):
        image = images.nth(n)
        assert image.evaluate("i => getComputedStyle(i).filter") == "none"
        image.scroll_into_view_if_needed()
        seen = Image.open(io.BytesIO(image.screenshot())).convert("RGB")
        width, height = seen.size
        edge = [seen.getpixel((x, height // 2)) for x in (2, width - 3)]
        edge += [seen.getpixel((width // 2, y)) for y in (2, height - 3)]
        assert sum(min(pixel) > 250 for pixel in edge) >= 3, f"image {n}: {edge}"


@pytest.mark.parametrize("name", CHAPTERS)
def test_solutions_and_hidden_cells_open(view, name):
    page = view(name)
    for kind in ("details.solution", "details.hide"):
        block = page.locator(kind).first
        inside = block.locator(":scope > *:not(summary)").first
        assert not inside.is_visible()
        block.locator(":scope > summary").click()
        inside.wait_for(state="visible")
        assert len(inside.inner_text().strip()) > 2


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_colab_button_leads_to_this_chapter(view, name):
    repository = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))["repository"]
    slug = repository["url"].removeprefix("https://github.com/")
    page = view(name)
    button = page.locator(".article-header-buttons a[href*='colab']")
    assert not button.is_visible()
    page.locator(".dropdown-launch-buttons > button").click()
    button.wait_for(state="visible")
    assert button.get_attribute("href") == (
        f"https://colab.research.google.com/github/{slug}/blob/{repository['branch']}/{name}.ipynb"
    )


@pytest.mark.parametrize("name", CHAPTERS)
def test_code_has_copy_buttons(view, name):
    page = view(name)
    assert page.locator("div.cell_input button.copybtn").count() > 3


@pytest.mark.parametrize("name", PAGES)
def test_nothing_overflows_on_a_phone(view, name):
    page = view(name, width=390, height=844)
    page.evaluate("document.querySelectorAll('details').forEach(d => (d.open = true))")
    width = page.evaluate(
        "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
    )
    assert width <= 390, page.evaluate(
        """[...document.querySelectorAll('article *')]
            .filter(e => e.getBoundingClientRect().right > 391)
            .slice(0, 8).map(e => e.outerHTML.slice(0, 120))"""
    )
    # What is wide must scroll in a box: nothing may be cut off and out of reach.
    cut = page.evaluate(
        """[...document.querySelectorAll('article img, article table, article pre, article svg')]
            .filter(e => e.getBoundingClientRect().right > 391)
            .filter(e => {
                for (let p = e; p && p.tagName != 'ARTICLE'; p = p.parentElement)
                    if (['auto', 'scroll'].includes(getComputedStyle(p).overflowX)) return false;
                return true;
            }).map(e => e.outerHTML.slice(0, 120))"""
    )
    assert cut == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_of_ours(view, name, scheme):
    page = view(name, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => (d.open = true))")
    # Colours are judged once nothing fades in any more.
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")
    page.evaluate("Promise.allSettled(document.getAnimations().map(a => a.finished))")
    violations = Axe().run(page).response["violations"]
    ours = [
        f"{v['id']}: {v['help']}: {node['html'][:160]}"
        for v in violations
        if v["id"] not in OF_THE_THEME
        for node in v["nodes"]
    ]
    assert ours == []


def test_the_whole_book_prints(chromium, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "book" / "pdf.py", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    content = (tmp_path / "rnn-executed.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert content.count(b"/Type /Page\n") >= len(PAGES)
    assert content.count(b"/Subtype /Image") > 0
