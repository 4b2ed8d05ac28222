"""The synthetic tasks: shapes, what the answer is, baselines, and what bad input says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlib.data import tasks

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(2, 40), st.integers(1, 20), st.sampled_from([np.float32, np.float64]))
def test_adding_marks_one_number_in_each_half_and_asks_for_their_sum(seed, T, B, dtype):
    x, target = tasks.adding(T, B, np.random.default_rng(seed), dtype)
    assert x.shape == (T, B, 2)
    assert target.shape == (B, 1)
    assert x.dtype == target.dtype == dtype
    numbers, marks = x[..., 0], x[..., 1]
    assert (numbers >= 0).all()
    assert (numbers <= 1).all()  # float32 may round a number up to 1
    assert np.isin(marks, (0, 1)).all()
    assert (marks[: T // 2].sum(0) == 1).all()
    assert (marks[T // 2 :].sum(0) == 1).all()
    np.testing.assert_allclose(target[:, 0], (numbers * marks).sum(0), rtol=1e-6)


def test_adding_baseline_is_one_sixth():
    _, target = tasks.adding(6, 200_000, np.random.default_rng(0))
    assert target.mean() == pytest.approx(1, abs=0.005)
    assert ((target - 1) ** 2).mean() == pytest.approx(1 / 6, abs=0.002)


def test_adding_marks_every_place_of_each_half_equally_often():
    x, _ = tasks.adding(7, 70_000, np.random.default_rng(1))
    share = x[..., 1].mean(1)
    np.testing.assert_allclose(share[:3], 1 / 3, atol=0.01)
    np.testing.assert_allclose(share[3:], 1 / 4, atol=0.01)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 30), st.integers(1, 10), st.integers(1, 12), st.integers(1, 9))
def test_copying_gives_the_symbols_back_in_order(seed, delay, B, length, symbols):
    rng = np.random.default_rng(seed)
    x, target = tasks.copying(delay, B, rng, length, symbols)
    T = 2 * length + delay
    assert x.shape == target.shape == (T, B)
    assert np.issubdtype(x.dtype, np.integer)
    read = x[:length]
    assert read.min() >= 1
    assert read.max() <= symbols
    assert (target[-length:] == read).all()
    assert (target[:-length] == 0).all()
    signal = length + delay - 1
    assert (x[signal] == symbols + 1).all()
    blanks = np.delete(x, [*range(length), signal], axis=0)
    assert (blanks == 0).all()


def test_copying_draws_all_symbols_equally_often():
    x, _ = tasks.copying(3, 20_000, np.random.default_rng(0))
    share = np.bincount(x[:10].ravel(), minlength=9)[1:] / x[:10].size
    np.testing.assert_allclose(share, 1 / 8, atol=0.005)


def test_the_same_seed_draws_the_same_batch_and_batches_differ():
    rng = np.random.default_rng(5)
    first, second = tasks.adding(20, 4, rng)[0], tasks.adding(20, 4, rng)[0]
    assert (first == tasks.adding(20, 4, np.random.default_rng(5))[0]).all()
    assert (first != second).any()
    a, b = (tasks.copying(5, 4, np.random.default_rng(5))[0] for _ in range(2))
    assert (a == b).all()


@pytest.mark.parametrize(("T", "B"), [(1, 4), (0, 4), (-3, 4), (10, 0)])
def test_adding_refuses_impossible_sizes(T, B):
    with pytest.raises(ValueError, match=rf"T of at least 2.*got T={T}, B={B}"):
        tasks.adding(T, B, np.random.default_rng(0))


@pytest.mark.parametrize("sizes", [(0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0)])
def test_copying_refuses_impossible_sizes(sizes):
    delay, B, length, symbols = sizes
    with pytest.raises(ValueError, match="at least 1, got"):
        tasks.copying(delay, B, np.random.default_rng(0), length, symbols)
