"""Results files: how values are summarised, runs merge, and the book's page is made."""

import html
import json
import re
from pathlib import Path

import numpy as np

from rnnlib import notebooks

SAVED_SCALES = ("cpu", "gpu")
_STATUSES = ("fail", "not checked", "pass")  # worst first


def summarise(values):
    """Mean and 95 % Student interval of the mean over repetitions.

    Parameters
    ----------
    values : list of float
        One value for each repetition, at least one.

    Returns
    -------
    dict
        ``mean``, ``low``, ``high`` and ``values``. With one value there is no
        interval: low and high are None.
    """
    values = [float(v) for v in values]
    if not values:
        raise ValueError("expected at least one value, got none")
    mean = float(np.mean(values))
    if len(values) == 1:
        return {"mean": mean, "low": None, "high": None, "values": values}
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return {"mean": mean, "low": mean - half, "high": mean + half, "values": values}


def merge(runs):
    """Merge the results of one chapter's runs with several seeds into one.

    Values of a metric are strung together; of a claim the run with the least margin is
    kept, with the worst status of all; wall time is the mean, memory the largest.

    Parameters
    ----------
    runs : list of dict
        Results as ``Run.results`` gives them, at least one.

    Returns
    -------
    dict
        In the same form.

    Raises
    ------
    ValueError
        If the runs differ in chapter, scale, device, versions, code or data.
    """
    first = runs[0]
    for key in ("chapter", "scale", "device", "versions", "code_sha256", "data"):
        for run in runs[1:]:
            if run[key] != first[key]:
                raise ValueError(
                    f"expected runs that differ in their seed alone, got {key} {first[key]!r} "
                    f"and {run[key]!r}: was something changed between the runs?"
                )
    metrics, claims = {}, {}
    for run in runs:
        for name, metric in run["metrics"].items():
            metrics.setdefault(name, []).extend(metric["values"])
        for claim in run["claims"]:
            claims.setdefault(claim["text"], []).append(claim)
    return {
        **first,
        "seeds": [seed for run in runs for seed in run["seeds"]],
        "wall_s": round(float(np.mean([run["wall_s"] for run in runs])), 1),
        "peak_mb": max(run["peak_mb"] for run in runs),
        "metrics": {name: summarise(values) for name, values in metrics.items()},
        "claims": [_worst(same) for same in claims.values()],
    }


def _worst(claims):
    status = min((c["status"] for c in claims), key=_STATUSES.index)
    return {**min(claims, key=_margin), "status": status}


def _margin(claim):
    """Tell how far a value is on the right side of its bound, such as "<= 0.4"."""
    sign, limit = claim["bound"].split()
    gap = float(limit) - claim["value"]
    return {"<": gap, "<=": gap, ">": -gap, ">=": -gap, "==": -abs(gap)}[sign]


class ClaimTable:
    """The claims of a run as a small table, for a notebook's last cell."""

    def __init__(self, claims):
        self.claims = claims

    def __repr__(self):
        """Show one claim a line."""
        return "\n".join(
            f"{c['status']:12} {c['value']:<10.4g} {c['bound']:12} {c['text']}" for c in self.claims
        )

    def _repr_html_(self):
        rows = "".join(
            f"<tr><td>{html.escape(c['text'])}</td><td>{c['value']:.4g}</td>"
            f"<td>{html.escape(c['bound'])}</td><td>{c['status']}</td></tr>"
            for c in self.claims
        )
        head = "<tr><th>claim</th><th>value</th><th>bound</th><th>status</th></tr>"
        return f'<table class="claims"><thead>{head}</thead><tbody>{rows}</tbody></table>'


def text_table(result):
    """Show a result's metrics and claims as lines for a terminal."""
    lines = [f"{name:28} {interval(metric)}" for name, metric in result["metrics"].items()]
    return "\n".join([*lines, repr(ClaimTable(result["claims"]))])


def interval(metric):
    """Write a metric as its mean, interval and number of values."""
    if metric["low"] is None:
        return f"{metric['mean']:.4g}"
    return (
        f"{metric['mean']:.4g} [{metric['low']:.4g}, {metric['high']:.4g}], "
        f"{len(metric['values'])} values"
    )


def load(root, scale, chapter):
    """Read a committed results file; None if there is none."""
    path = root / "book" / "results" / scale / f"{chapter}.json"
    return read(path) if path.exists() else None


def read(path):
    """Read a results file; a ValueError says if it is none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a results file: {error}") from error


def save(root, result):
    """Write a results file into the book, all of it or nothing; return its path."""
    path = root / "book" / "results" / result["scale"] / f"{result['chapter']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    notebooks.write_whole(path, json.dumps(result, indent=1) + "\n")
    return path


def page(root):
    """Write the book's page of results as text, from the committed results files.

    Returns
    -------
    str
        MyST Markdown.
    """
    head = [
        "# Results",
        "",
        "Every figure and every claim of every chapter, as the last committed run gave them.",
        "Where a chapter was run with several seeds, or repeats an experiment, a metric is the",
        "mean with its 95 % interval (Student's t over the values), and a claim shows the value",
        "that came closest to its bound. *Missing* means that no such run has been committed.",
        "This page is made by `python -m rnnlib results`; do not edit it.",
        "",
    ]
    parts = [_chapter_section(root, path) for path in notebooks.chapters(root)]
    return "\n".join([*head, *(parts or ["No chapter has been written yet.\n"])])


def command(chapter, scale, seeds=1):
    """Return the command line that makes a chapter's results again."""
    several = f" --seeds {seeds}" if seeds > 1 else ""
    return f"python -m rnnlib run {chapter.split('_')[0]} --scale {scale}{several}"


def _chapter_section(root, path):
    runs = {scale: load(root, scale, path.stem) for scale in SAVED_SCALES}
    alone = runs["gpu"] is None and "numpy_only=True" in path.read_text(encoding="utf8")
    if alone:
        del runs["gpu"]
    number = int(path.stem.split("_")[0])
    heading = re.sub(r"^\d+\W+", "", notebooks.title(notebooks.read(path))) or path.stem
    metrics = dict.fromkeys(name for run in runs.values() if run for name in run["metrics"])
    claims = dict.fromkeys(c["text"] for run in runs.values() if run for c in run["claims"])
    note = " This chapter is NumPy alone and uses no GPU." if alone else ""
    lines = [f"## Chapter {number}. {heading}", "", f"[Notebook](../notebooks/{path.name}).{note}"]
    lines += ["", *_table("run", runs, _RUN_ROWS, lambda run, row: _RUN_ROWS[row](run))]
    again = [command(path.stem, s, len(r["seeds"]) if r else 1) for s, r in runs.items()]
    lines[-1:] = [f"| again with | {' | '.join(f'`{line}`' for line in again)} |", ""]
    if metrics:
        lines += _table("metric", runs, metrics, _metric_cell)
    if claims:
        lines += _table("claim", runs, claims, _claim_cell)
    return "\n".join(lines)


_RUN_ROWS = {
    "hardware": lambda run: _escape(run["device"]),
    "wall time": lambda run: f"{run['wall_s']:.0f} s",
    "peak memory": lambda run: f"{run['peak_mb']} MB",
    "seeds": lambda run: ", ".join(map(str, run["seeds"])),
    "data (sha256)": lambda run: (
        ", ".join(f"{_escape(name)} `{sha[:12]}`" for name, sha in run["data"].items()) or "none"
    ),
    "versions": lambda run: ", ".join(f"{name} {v}" for name, v in run["versions"].items()),
}


def _metric_cell(run, name):
    return interval(run["metrics"][name]) if name in run["metrics"] else None


def _claim_cell(run, text):
    for claim in run["claims"]:
        if claim["text"] == text:
            return f"{claim['value']:.4g} ({_escape(claim['bound'])}), {claim['status']}"
    return None


def _table(name, runs, rows, cell):
    """Make a Markdown table with one column for each scale, gaps marked as missing."""
    lines = [f"| {name} | {' | '.join(runs)} |", "|---" * (1 + len(runs)) + "|"]
    for row in rows:
        cells = [(cell(run, row) if run else None) or "*missing*" for run in runs.values()]
        lines.append(f"| {_escape(row)} | {' | '.join(cells)} |")
    return [*lines, ""]


def _escape(text):
    """Keep plain text from being read as Markdown or MyST."""
    return re.sub(r"([\\`*_{}\[\]<>$|#^~])", r"\\\1", text)
