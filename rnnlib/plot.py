"""The book's figure style."""

import matplotlib.pyplot as plt
from cycler import cycler

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, RED, YELLOW, BLACK, GREY = "#56B4E9", "#D55E00", "#F0E442", "#000000", "#777777"
_GAP = 1.3  # from one step of a drawn net to the next, in units of the drawing


def use():
    """Set the style: colour-blind-safe colours [Okabe and Ito, 2008], white ground.

    Sizes are chosen so that a figure stays legible on a phone 390 pixels wide.
    """
    plt.rcParams.update(
        {
            "figure.figsize": (6, 3.6),
            "figure.dpi": 144,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "font.size": 12,
            "axes.titlesize": 12,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, RED, PINK, SKY, BLACK]),
            "axes.grid": True,
            "grid.color": "#e6e6e6",
            "axes.axisbelow": True,
            "legend.frameon": False,
            "lines.linewidth": 2,
        }
    )


def unrolled(
    inputs,
    outputs,
    *,
    parts=None,
    states=None,
    start="$h_0$",
    feedback=False,
    weights=False,
    ax=None,
):
    """Draw a recurrent net step by step: one box for each step, time to the right.

    Boxes and arrows of one colour use one set of weights.

    Parameters
    ----------
    inputs, outputs : sequence of (str or None)
        What enters below and leaves above each step; None draws nothing there.
    parts : sequence of str, optional
        The part that each step belongs to, such as "encoder". Steps of one part
        share weights and colour; with two parts or more, the names stand above.
    states : sequence of str, optional
        The text in each box; h_1, h_2, ... if absent.
    start : str or None
        What enters the first box from the left.
    feedback : bool
        Join each output to the next step's input by a dashed arrow.
    weights : bool
        Write its matrix at each arrow: W_xh, W_hh or W_hy.
    ax : matplotlib.axes.Axes, optional
        A new figure if absent.

    Returns
    -------
    matplotlib.axes.Axes
    """
    T = len(inputs)
    parts = ["net"] * T if parts is None else list(parts)
    states = [f"$h_{t + 1}$" for t in range(T)] if states is None else list(states)
    lengths = {"outputs": len(outputs), "parts": len(parts), "states": len(states)}
    wrong = [f"{n} {name}" for name, n in lengths.items() if n != T]
    if T == 0 or wrong:
        raise ValueError(f"expected one entry for each of {T} inputs, at least 1, got {wrong}")
    ax = _canvas(T, ax)
    names = list(dict.fromkeys(parts))
    colours = [[BLUE, RED, GREEN][names.index(p) % 3] for p in parts]
    for t in range(T):
        _step(ax, t, inputs[t], outputs[t], states[t], colours[t])
        x = t * _GAP
        if t or start is not None:
            _arrow(ax, (x - _GAP + 0.36, 0), (x - 0.32, 0), colours[t])
        if feedback and t and inputs[t] and outputs[t - 1]:
            _arrow(ax, (x - _GAP + 0.2, 0.96), (x - 0.2, -0.96), GREY, ls=(0, (3, 2)))
        if weights:
            before = t or start is not None
            _name_weights(ax, x, [inputs[t] is not None, before, outputs[t] is not None])
    if start is not None:
        ax.text(-_GAP + 0.3, 0, start, ha="right", va="center", fontsize=15)
    if len(names) > 1:
        _name_parts(ax, parts, colours)
    return ax


def folded(ax=None):
    """Draw the recurrent net as one box with a loop, its three weights named."""
    ax = _canvas(1, ax)
    _step(ax, 0, "$x_t$", "$y_t$", "$h_t$", BLUE)
    _arrow(ax, (0.3, 0.12), (0.3, -0.12), BLUE, curve="arc3,rad=-3.2")
    for x, y, text in [(0.1, -0.6, "$W_{xh}$"), (0.1, 0.6, "$W_{hy}$"), (0.72, 0.0, "$W_{hh}$")]:
        ax.text(x, y, text, va="center", fontsize=13)
    return ax


def paths_to_loss(T, t):
    """Draw the unrolled net and, in red, how the loss of step t reaches back.

    Parameters
    ----------
    T, t : int
        Number of steps, and the step whose loss is followed, 1 <= t <= T.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if not 1 <= t <= T:
        raise ValueError(f"expected a step in 1..T={T}, got t={t}")
    ax = _canvas(T, None)
    for k in range(1, T + 1):
        x, reached = (k - 1) * _GAP, k <= t
        _step(ax, k - 1, None, f"$L_{k}$", f"$h_{k}$", GREY)
        _arrow(ax, (x - _GAP + 0.36, 0.08), (x - 0.32, 0.08), BLACK if reached else GREY)
        colour = BLACK if reached else GREY
        ax.text(x - _GAP / 2, 0.22, "$W_{hh}$", ha="center", fontsize=13, color=colour)
        if reached:
            ax.text(x, -0.85, rf"$\delta_{{{t},{k}}}$", ha="center", fontsize=15, color=RED)
        if k == t:
            _arrow(ax, (x + 0.14, 0.98), (x + 0.14, 0.32), RED)
        if 1 < k <= t:
            _arrow(ax, (x - 0.32, -0.12), (x - _GAP + 0.36, -0.12), RED)
    ax.text(-_GAP + 0.3, 0, "$h_0$", ha="right", va="center", fontsize=15)
    ax.set_title(f"{t} uses of $W_{{hh}}$ reach $L_{t}$")
    return ax


def _canvas(T, ax):
    if ax is None:
        _, ax = plt.subplots(figsize=(max(6, T + 0.8), 3.1))
    ax.set(xlim=(-1.4, (T - 1) * _GAP + 0.8), ylim=(-1.45, 1.45), aspect="equal")
    ax.axis("off")
    return ax


def _name_weights(ax, x, drawn):
    """Name the arrows of the box at x, those that are drawn: from below, left, to above."""
    places = [(x + 0.1, -0.65, "xh"), (x - 0.88, 0.25, "hh"), (x + 0.1, 0.65, "hy")]
    for (left, y, name), there in zip(places, drawn, strict=True):
        if there:
            ax.text(left, y, f"$W_{{{name}}}$", va="center", fontsize=13)


def _name_parts(ax, parts, colours):
    ax.set_ylim(top=1.95)
    for name in dict.fromkeys(parts):
        where = [t for t, part in enumerate(parts) if part == name]
        x = _GAP * sum(where) / len(where)
        ax.text(x, 1.62, name, ha="center", fontsize=15, color=colours[where[0]])


def _step(ax, step, x, y, state, colour):
    t = step * _GAP
    box = {"boxstyle": "round,pad=0.45", "fc": "white", "ec": colour, "lw": 2.5}
    ax.text(t, 0, state, ha="center", va="center", fontsize=15, bbox=box)
    if x is not None:
        ax.text(t, -1.2, x, ha="center", va="center", fontsize=15)
        _arrow(ax, (t, -0.98), (t, -0.32), colour)
    if y is not None:
        ax.text(t, 1.2, y, ha="center", va="center", fontsize=15)
        _arrow(ax, (t, 0.32), (t, 0.98), colour)


def _arrow(ax, start, end, colour, ls="-", curve="arc3"):
    style = {"arrowstyle": "-|>", "color": colour, "lw": 1.8, "ls": ls, "connectionstyle": curve}
    ax.annotate("", end, start, arrowprops={**style, "mutation_scale": 14, "shrinkA": 0})
