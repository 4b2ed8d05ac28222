"""What this book needs beyond Sphinx's own settings, one function for each need."""

import importlib.util
import re
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.environment.collectors.toctree import TocTreeCollector
from sphinx.util.fileutil import copy_asset_file

MATHJAX = "tex-svg-full.js"  # one file: no fonts, nothing loaded later


def setup(app):
    """Connect everything below; called by Sphinx."""
    for collector in (TocTreeCollector, *TocTreeCollector.__subclasses__()):
        collector.assign_section_numbers = number_chapters
    app.connect("config-inited", settle_addresses)
    app.connect("doctree-read", keep_images_local, priority=400)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("html-page-context", list_references)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def settle_addresses(app, config):
    """Derive the site's address from the repository's; load MathJax from the book."""
    _, owner, name = urlsplit(config.html_theme_options["repository_url"]).path.split("/")
    config.ogp_site_url = config.html_baseurl = f"https://{owner}.github.io/{name}/"
    config.mathjax_path = MATHJAX


def number_chapters(collector, env):
    """Number a chapter as its file is numbered: notebooks/03_bptt is chapter 3.

    Its figures and equations become 3.1, 3.2, ... whichever other chapters exist. This
    replaces Sphinx's method, which counts pages in their order from one.
    """
    old, env.toc_secnumbers = env.toc_secnumbers, {}
    for docname, toc in env.tocs.items():
        chapter = re.fullmatch(r"notebooks/(\d+)_\w+", docname)
        if not chapter:
            continue
        number = (int(chapter[1]),)
        numbers = env.toc_secnumbers[docname] = {}
        for reference in toc.findall(nodes.reference):
            anchor = reference["anchorname"]
            numbers[anchor] = number if anchor == "" else ()
            reference["secnumber"] = number if anchor == "" else None
        env.titles[docname]["secnumber"] = number
    return [docname for docname in env.tocs if old.get(docname) != env.toc_secnumbers.get(docname)]


def keep_images_local(app, doctree):
    """Show an image on another host, such as a Colab badge, as its words."""
    for image in list(doctree.findall(nodes.image)):
        if "://" in image["uri"]:
            image.replace_self(nodes.Text(image.get("alt", "")))


def drop_thebe(app, pagename, templatename, context, doctree):
    """Leave out the scripts of sphinx-thebe, which this book has no use for."""

    def wanted(asset):
        return "thebe" not in f"{asset.filename} {asset.attributes.get('body')}".lower()

    context["script_files"][:] = [s for s in context["script_files"] if wanted(s)]
    context["css_files"][:] = [s for s in context["css_files"] if wanted(s)]


def list_references(app, pagename, templatename, context, doctree):
    """Call an entry of the bibliography a list item: ARIA has given up its own role."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def copy_mathjax(app, error):
    """Put MathJax beside the pages, so that mathematics needs no network."""
    if error is None and app.builder.format == "html":
        (package,) = importlib.util.find_spec("sphinx-mathjax-offline").submodule_search_locations
        source = Path(package) / "static" / "mathjax" / MATHJAX
        copy_asset_file(str(source), str(Path(app.outdir) / "_static" / MATHJAX))
