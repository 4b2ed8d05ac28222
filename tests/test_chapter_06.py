"""What chapter 06 prints computes what the library computes, and quotes what was recorded."""

import ast
import json

import numpy as np
import pytest
import torch
from chapter_cells import FOLDER, functions
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from rnnlib import notebooks
from rnnlib.nets.classifier import SequenceClassifier

CHAPTER = "06_rnns_in_pytorch"
RECORDED = FOLDER.parent / "book" / "results" / "cpu" / "03_bptt.json"


@pytest.fixture(scope="module")
def cells():
    return functions(
        CHAPTER,
        *("read_padded", "read_last", "read_packed", "read_mean", "predicted", "count_weights"),
        *("read_h_n", "read_column"),
        **{"torch": torch, "nn": nn, "pack_padded_sequence": pack_padded_sequence},
        **{"pad_packed_sequence": pad_packed_sequence},
        **{"GATES": {"RNN": 1, "GRU": 3, "LSTM": 4}, "V": 65},
    )


def constant(name):
    """The value of a literal that a cell of the chapter assigns to this name."""
    for cell in notebooks.read(FOLDER / f"{CHAPTER}.ipynb")["cells"]:
        if cell["cell_type"] == "code" and f"\n{name} = " in "\n" + cell["source"]:
            for line in ast.parse(cell["source"]).body:
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == name:
                    return ast.literal_eval(line.value)
    raise AssertionError(f"no cell assigns {name}")


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("read", "options"),
    [
        ("read_last", {}),
        ("read_packed", {}),
        ("read_packed", {"bidirectional": True}),
        ("read_mean", {"pool": "mean"}),
    ],
)
def test_the_chapters_readings_are_the_librarys(cells, cell, layers, read, options):
    torch.manual_seed(0)
    net = SequenceClassifier(3, 4, 5, cell=cell, layers=layers, **options)
    lengths = torch.tensor([2, 6, 1, 4])
    x = pad_sequence([torch.randn(n, 3) for n in lengths], batch_first=True)
    ours = net.readout(cells[read](net.rnn, x, lengths))
    torch.testing.assert_close(ours, net(x, lengths), rtol=0, atol=1e-5)
    suspect = net.readout(cells["read_padded"](net.rnn, x, lengths))
    assert not torch.allclose(suspect, net(x, lengths), atol=1e-3)


def test_the_two_mistakes_of_reading_two_directions_are_told_apart(cells):
    torch.manual_seed(0)
    rnn = nn.LSTM(3, 4, batch_first=True, bidirectional=True)
    lengths = torch.tensor([2, 6, 1, 4])
    x = pad_sequence([torch.randn(n, 3) for n in lengths], batch_first=True)
    right = cells["read_packed"](rnn, x, lengths)
    # the longest sequence has no padding, so only the wrong column can spoil it
    spoilt = {
        read: (cells[read](rnn, x, lengths) - right).abs() > 1e-4
        for read in ("read_h_n", "read_column")
    }
    assert spoilt["read_h_n"].any(dim=1).tolist() == [True, False, True, True]
    assert not spoilt["read_column"][:, :4].any()
    assert spoilt["read_column"][:, 4:].any(dim=1).tolist() == [True, True, False, True]


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_counting_formula(cells, cell, bidirectional):
    net = getattr(nn, cell)(5, 7, 3, bidirectional=bidirectional)
    found, _ = cells["predicted"](cell, 5, 7, num_layers=3, bidirectional=bidirectional)
    assert found == sum(w.numel() for w in net.parameters())


def test_the_figures_quoted_from_chapter_03_are_the_recorded_ones():
    metrics = json.loads(RECORDED.read_text(encoding="utf8"))["metrics"]
    assert constant("TANH") == pytest.approx(metrics["rnn_bpc"]["values"], abs=1e-4)
    assert constant("NGRAMS")["trigram"] == pytest.approx(
        np.mean(metrics["trigram_bpc"]["values"]), abs=5e-4
    )
    assert constant("TANH_SMALL") == pytest.approx(metrics["tbptt_25_bpc"]["mean"], abs=5e-4)


def test_the_tanh_net_has_as_many_weights_as_chapter_03_says(cells):
    assert cells["count_weights"](256) == 99_137
