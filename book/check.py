"""Count the pages of the built book and print its address: ``python book/check.py [HTML]``.

Jupyter Book can build nothing and still report success, so this asks for every page.
"""

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def expected_pages(root=ROOT):
    """List the pages that ``_toc.yml`` names, without their endings, the root page first."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]


def main():
    """Exit with an error that names what is missing, or print where to read."""
    html = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "_build" / "html"
    pages = expected_pages()
    missing = [page for page in pages if not (html / f"{page}.html").exists()]
    if missing:
        sys.exit(f"expected {len(pages)} pages in {html}, missing: {', '.join(missing)}")
    print(f"{len(pages)} pages: {(html / 'index.html').as_uri()}")


if __name__ == "__main__":
    main()
