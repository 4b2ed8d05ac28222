"""The drawn nets: what stands in the picture, and what an arrow joins."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pytest

from rnnlib import plot


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def texts(ax):
    return [t.get_text() for t in ax.texts if t.get_text()]


def arrows(ax, dashed=False):
    """Each arrow's start and end, rounded, as ((x, y), (x, y))."""
    found = []
    for a in ax.texts:
        if a.get_text() == "" and (a.arrow_patch.get_linestyle() != "-") == dashed:
            start, end = a.xyann, a.xy
            found.append(tuple(tuple(round(v, 1) for v in point) for point in (start, end)))
    return found


def upward(ax):
    return [(start, end) for start, end in arrows(ax) if start[0] == end[0]]


def rightward(ax):
    return [(start, end) for start, end in arrows(ax) if start[1] == end[1]]


def test_aligned_net_has_an_input_a_state_and_an_output_at_each_step():
    ax = plot.unrolled(["a", "b", "c"], ["d", "e", "f"])
    assert sorted(texts(ax)) == sorted(
        ["a", "b", "c", "d", "e", "f", "$h_0$"] + [f"$h_{t}$" for t in (1, 2, 3)]
    )
    assert len(upward(ax)) == 6
    assert len(rightward(ax)) == 3  # from h_0, and between three boxes


def test_missing_inputs_and_outputs_leave_out_text_and_arrow():
    ax = plot.unrolled(["a", None, None], [None, None, "z"], start=None)
    assert sorted(texts(ax)) == ["$h_1$", "$h_2$", "$h_3$", "a", "z"]
    assert len(upward(ax)) == 2
    assert len(rightward(ax)) == 2
    x_input, x_output = upward(ax)[0][0][0], upward(ax)[1][0][0]
    assert x_input < x_output  # a enters the first box, z leaves the last


def test_feedback_joins_each_output_to_the_next_input_only():
    assert arrows(plot.unrolled(["s", "a", "b"], ["a", "b", "c"]), dashed=True) == []
    joined = arrows(plot.unrolled(["s", "a", "b"], ["a", "b", "c"], feedback=True), dashed=True)
    assert len(joined) == 2
    assert all(start[0] < end[0] and start[1] > end[1] for start, end in joined)
    reader = plot.unrolled(["1", "2", "s", "a"], [None, None, "a", "b"], feedback=True)
    assert len(arrows(reader, dashed=True)) == 1


def test_parts_are_named_and_have_one_colour_each():
    parts = ["encoder", "encoder", "decoder"]
    ax = plot.unrolled(["1", "2", "s"], [None, None, "a"], parts=parts)
    assert {"encoder", "decoder"} <= set(texts(ax))
    boxes = [t.get_bbox_patch().get_edgecolor() for t in ax.texts if t.get_bbox_patch()]
    assert boxes[0] == boxes[1] != boxes[2]
    assert "net" not in texts(plot.unrolled(["1"], ["2"]))


def test_weights_are_named_at_the_arrows_that_are_drawn():
    assert not any("W_" in text for text in texts(plot.unrolled(["1"], ["2"])))
    ax = plot.unrolled(["1", None, "3"], [None, "b", "c"], start=None, weights=True)
    named = [(t.get_text(), *t.get_position()) for t in ax.texts if "W_" in t.get_text()]
    counts = {name: sum(name in text for text, *_ in named) for name in ("xh", "hh", "hy")}
    assert counts == {"xh": 2, "hh": 2, "hy": 2}
    assert all((y > 0.3) == ("hy" in text) for text, _, y in named)
    assert all((y < -0.3) == ("xh" in text) for text, _, y in named)
    full = texts(plot.unrolled(["1"], ["2"], weights=True))
    assert full.count("$W_{hh}$") == 1  # the arrow from h_0


def test_everything_drawn_lies_inside_the_axes():
    parts = ["encoder", "decoder"]
    ax = plot.unrolled(["1", "2"], ["3", "4"], parts=parts, start="message")
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    for t in ax.texts:
        x, y = t.get_position()
        assert left <= x <= right
        assert bottom <= y <= top


def test_description_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="each of 2 inputs.*3 outputs"):
        plot.unrolled(["a", "b"], ["c", "d", "e"])
    with pytest.raises(ValueError, match="at least 1"):
        plot.unrolled([], [])


def test_folded_net_names_its_three_matrices():
    ax = plot.folded()
    assert {"$W_{xh}$", "$W_{hh}$", "$W_{hy}$", "$h_t$"} <= set(texts(ax))
    assert len(arrows(ax)) == 3


def test_style_is_legible_and_white():
    plot.use()
    assert plt.rcParams["font.size"] >= 12
    assert plt.rcParams["figure.facecolor"] == "white"
    assert plt.figure().get_size_inches()[0] == 6


def test_paths_to_loss_marks_the_uses_that_reach_it():
    texts = [t.get_text() for t in plot.paths_to_loss(T=4, t=3).texts]
    assert sum(r"\delta" in text for text in texts) == 3
    assert texts.count("$W_{hh}$") == 4
    with pytest.raises(ValueError, match=r"1\.\.T=4, got t=5"):
        plot.paths_to_loss(T=4, t=5)
