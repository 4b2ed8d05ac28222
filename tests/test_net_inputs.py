"""What the nets refuse, and that each refusal names the likely cause."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rnnlib.nets import inputs

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
sizes = st.integers(1, 5)


@given(sizes, sizes, sizes)
def test_a_good_batch_passes(B, T, I):
    inputs.check_batch(torch.zeros(B, T, I), I)
    inputs.check_batch(torch.zeros(B, T, I, dtype=torch.float64), I)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(4, 12, 7), ValueError, r"\(B, T, I=12\), got \(4, 12, 7\): the 12 .* axis 1"),
        (torch.zeros(12, 4, 7), ValueError, "axis 0, not last"),
        (torch.zeros(4, 7, 11), ValueError, r"got \(4, 7, 11\)$"),
        (torch.zeros(7, 12), ValueError, r"one sequence use x\[None\], .* x\[:, None\]"),
        (torch.zeros(4, 7), ValueError, r"got \(4, 7\)$"),
        (torch.zeros(0, 7, 12), ValueError, "at least one sequence"),
        (torch.zeros(4, 0, 12), ValueError, "at least one sequence and one step"),
        (torch.zeros(4, 7, 12, dtype=torch.int64), TypeError, "torch.int64 .*embedding"),
        (np.zeros((4, 7, 12)), TypeError, "as a tensor .* ndarray"),
    ],
)
def test_a_bad_batch(x, error, message):
    with pytest.raises(error, match=message):
        inputs.check_batch(x, 12)


@given(st.data())
def test_good_lengths_pass_in_any_order(data):
    B, T = data.draw(sizes), data.draw(sizes)
    lengths = data.draw(st.lists(st.integers(1, T), min_size=B, max_size=B))
    inputs.check_lengths(torch.tensor(lengths), B, T)


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([3, 2, 5], TypeError, r"list: use torch.tensor\(lengths\)"),
        (torch.tensor([3, 2, 5], dtype=torch.int32), TypeError, r"int64, got torch.int32"),
        (torch.tensor([3.0, 2.0, 5.0]), TypeError, r"got torch.float32: use .long"),
        (torch.zeros(3, dtype=torch.int64, device="meta"), ValueError, r"CPU, got meta.*\.cpu\(\)"),
        (torch.tensor([3, 2]), ValueError, r"\(B=3,\), got \(2,\)$"),
        (torch.tensor([3, 2, 1, 1, 1]), ValueError, r"as many as steps.*\(T=3, B=5, I\)"),
        (torch.tensor([3, 0, 5]), ValueError, r"1..T=5, got 0 for sequence 1: leave empty"),
        (torch.tensor([3, 2, -1]), ValueError, r"got -1 for sequence 2"),
        (torch.tensor([3, 2, 6]), ValueError, r"1..T=5, got 6 for sequence 2: was x cut"),
    ],
)
def test_bad_lengths(lengths, error, message):
    with pytest.raises(error, match=message):
        inputs.check_lengths(lengths, 3, 5)


def test_time_major_input_shows_in_its_lengths():
    x = torch.zeros(9, 4, 12)  # (T, B, I) given to a batch-first net
    lengths = torch.tensor([4, 9, 4, 4, 4, 4, 4, 4, 4])
    inputs.check_batch(x, 12)
    with pytest.raises(ValueError, match=r"is x time-major, \(T=9, B=4, I\)\?"):
        inputs.check_lengths(lengths, *x.shape[:2])
    with pytest.raises(ValueError, match="time-major"):
        inputs.check_lengths(torch.tensor([9, 5, 3, 2]), *x.shape[:2])


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@given(
    st.sampled_from(sorted(CELLS)), sizes, sizes, st.integers(1, 3), st.booleans(), st.booleans()
)
def test_what_torch_returns_and_takes_passes(cell, B, H, layers, both, project):
    options = {"proj_size": 1} if cell == "lstm" and project and H > 1 else {}
    net = CELLS[cell](2, H, layers, batch_first=True, bidirectional=both, **options)
    state = net(torch.zeros(B, 3, 2))[1]
    inputs.check_state(state, net, B)
    inputs.check_state(None, net, B)
    with pytest.raises(ValueError, match=f"carried over from a batch of {B}"):
        inputs.check_state(state, net, B + 1)


def test_the_parts_of_a_state():
    lstm, gru = nn.LSTM(2, 3), nn.GRU(2, 3)
    h = torch.zeros(1, 4, 3)
    with pytest.raises(TypeError, match=r"\(h, c\) for nn.LSTM, got one Tensor"):
        inputs.check_state(h, lstm, 4)
    with pytest.raises(TypeError, match="got 1 parts"):
        inputs.check_state((h,), lstm, 4)
    with pytest.raises(TypeError, match="state of nn.GRU, got 2 parts: from an LSTM"):
        inputs.check_state((h, h), gru, 4)
    with pytest.raises(TypeError, match="expected c as a tensor, got a NoneType"):
        inputs.check_state((h, None), lstm, 4)
    with pytest.raises(ValueError, match=r"expected c of shape .*\(1, 4, 3\), got \(1, 4, 2\)$"):
        inputs.check_state((h, torch.zeros(1, 4, 2)), lstm, 4)
    with pytest.raises(ValueError, match="batch_first turns x and the output round"):
        inputs.check_state(h.transpose(0, 1), gru, 4)
    with pytest.raises(ValueError, match=r"\(1, 4, 3\), got \(2, 4, 3\)$"):
        inputs.check_state(torch.zeros(2, 4, 3), gru, 4)
    with pytest.raises(ValueError, match="expected h on cpu, where the weights are, got meta"):
        inputs.check_state(h.to("meta"), gru, 4)
