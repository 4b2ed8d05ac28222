"""Sound files of every kind, and features against a referee in NumPy, step by step."""

import contextlib
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlib.data import DataError
from rnnlib.data.audio import log_mel, mel_filters, normalise, read_wav

PCM, FLOAT, A_LAW = 1, 3, 6
WIDTHS = [(8, PCM), (16, PCM), (24, PCM), (32, PCM), (32, FLOAT), (64, FLOAT)]


def wav(data, bits=16, coding=PCM, rate=8000, channels=1, more=b""):
    """A WAV file with these bytes for samples."""
    size = channels * bits // 8
    body = struct.pack("<4sIHHIIHH", b"fmt ", 16, coding, channels, rate, rate * size, size, bits)
    body += more + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WAVE") + body


def encoded(x, bits, coding):
    """The bytes of samples in -1..1 - 2^(1 - bits), rounded to so many bits."""
    if coding == FLOAT:
        return np.asarray(x, f"<f{bits // 8}").tobytes()
    whole = np.round(np.asarray(x) * 2.0 ** (bits - 1)).astype(np.int64) + 128 * (bits == 8)
    return b"".join(int(k).to_bytes(bits // 8, "little", signed=bits > 8) for k in whole)


def tone(hertz, rate, seconds=0.5):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(("bits", "coding"), WIDTHS)
def test_every_width_gives_the_samples_back(bits, coding, tmp_path):
    x = np.array([-1, -0.5, 0, 0.25, 0.5, 1 - 2.0 ** (1 - min(bits, 24))])
    content = wav(encoded(x, bits, coding), bits, coding, more=b"LIST\4\0\0\0INFO")
    path = tmp_path / "one.wav"
    path.write_bytes(content)
    for found in (read_wav(content), read_wav(path)):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, x.astype(np.float32))


@pytest.mark.parametrize(("bits", "coding"), WIDTHS)
def test_a_file_cut_anywhere_is_refused(bits, coding):
    content = wav(encoded(tone(400, 8000, 0.002), bits, coding), bits, coding)
    for k in range(len(content)):
        with pytest.raises(DataError, match=r"ends before its header|expected"):
            read_wav(content[:k])


FLIPS = st.lists(st.tuples(st.integers(0, 43), st.integers(0, 255)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=150)
@given(FLIPS, st.sampled_from(WIDTHS))
def test_a_damaged_header_gives_samples_or_a_data_error(flips, kind):
    content = bytearray(wav(encoded(tone(400, 8000, 0.01), *kind), *kind))
    for place, value in flips:
        content[place] = value
    with contextlib.suppress(DataError):
        assert read_wav(bytes(content), rate=2**16).size


def test_the_mean_of_the_channels():
    left, right = tone(400, 8000), np.full(4000, 0.999)
    both = wav(encoded(np.stack([left, right], 1).ravel(), 16, PCM), channels=2)
    np.testing.assert_allclose(read_wav(both), (left + right) / 2, atol=2**-15)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000, 4000, 12347])
def test_another_rate_is_resampled(rate):
    heard = read_wav(wav(encoded(tone(440, rate), 16, PCM), rate=rate))
    assert len(heard) == -(-round(0.5 * rate) * 8000 // rate)
    np.testing.assert_allclose(heard[400:3600], tone(440, 8000)[400:3600], atol=3e-3)
    if rate >= 16000:  # 6 kHz must not fold back to 2 kHz
        gone = read_wav(wav(encoded(tone(6000, rate), 16, PCM), rate=rate))
        assert np.abs(gone[400:3600]).max() < 3e-3


NO_SOUND = [
    (b"", "got 0 bytes"),
    (b"<html>not found</html>" * 9, "expected a WAV file"),
    (b"RIFF\0\0\0\0AVI " + bytes(90), "expected a WAV file"),
    (wav(bytes(99), 8, A_LAW), "ALAW"),
    (wav(b""), "expected samples, got 0"),
    (wav(bytes(20), rate=10**6), "at 1000000 per second"),
    (wav(encoded([0, np.nan], 32, FLOAT), 32, FLOAT), "sample 1 is not finite"),
    (wav(encoded([-1e99], 64, FLOAT), 64, FLOAT), "sample 0 is not finite in float32"),
]


@pytest.mark.parametrize(("content", "message"), NO_SOUND)
def test_what_is_no_sound_is_named(content, message, tmp_path):
    path = tmp_path / "it.wav"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"it.wav.*{message}"):
        read_wav(path)


def log_mel_in_steps(x, rate, window, hop, bands, low, high):
    """The referee: float64, one step after the other, transform and filters written out."""
    W, step = round(window * rate), round(hop * rate)
    n_fft = 2 ** int(np.ceil(np.log2(W)))
    padded = np.append(x, np.zeros(W))
    frames = [padded[:W]]
    while (start := len(frames) * step) < len(x) - W + step:
        frames.append(padded[start : start + W])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(W) / W)
    turns = np.outer(np.arange(W), np.arange(n_fft // 2 + 1)) / n_fft
    power = np.abs((np.array(frames) * hann) @ np.exp(-2j * np.pi * turns)) ** 2

    grid = np.linspace(low, high, 200_001)
    mel = np.log10(1 + grid / 700)  # any multiple of it will do
    edges = np.interp(np.linspace(mel[0], mel[-1], bands + 2), mel, grid)
    f = np.linspace(0, rate / 2, n_fft // 2 + 1)
    filters = [np.interp(f, edges[b : b + 3], [0, 1, 0]) for b in range(bands)]
    return np.log(power @ np.array(filters).T + 1e-10)


FORMS = st.sampled_from([(8000, 0.025, 0.01, 40), (16000, 0.02, 0.005, 26), (11025, 0.05, 0.02, 9)])


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3000), FORMS, st.sampled_from([1.0, 0.03, 1e-4]), st.integers(0, 99))
def test_features_agree_with_the_referee(N, form, loudness, seed):
    rate, window, hop, bands = form
    rng = np.random.default_rng(seed)
    x = loudness * (np.sin(0.3 * np.arange(N)) + 0.01 * rng.standard_normal(N)) / 2
    found = log_mel(x, rate, window=window, hop=hop, bands=bands, low=60, high=3900)
    expected = log_mel_in_steps(x, rate, window, hop, bands, 60, 3900)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("ms", [20, 25, 26, 1000, 60_000])
def test_any_length_one_by_one_in_a_list_or_in_a_batch(ms):
    x = torch.randn(2, 8 * ms, generator=torch.manual_seed(0)) / 10
    single = log_mel(x[0], 8000)
    assert single.shape == (1 + -(-max(ms - 25, 0) // 10), 40)
    assert torch.equal(log_mel(x.numpy(), 8000)[0], single)
    listed = log_mel([x[0], x[1, :90]], 8000)
    assert torch.equal(listed[0], single)
    assert listed[1].shape == (1, 40)
    torch.testing.assert_close(log_mel(3 * x[0], 8000), single + 2 * np.log(3), atol=1e-3, rtol=0)


def test_no_frame_sees_what_comes_after_its_window():
    x = torch.randn(8000, generator=torch.manual_seed(0))
    later = torch.cat([x[: 20 * 80 + 200], torch.zeros(6200)])
    same = (log_mel(x, 8000) == log_mel(later, 8000)).all(1)
    assert same.nonzero().ravel().tolist() == list(range(21))


def test_the_filters():
    f, filters = np.arange(257) * 16000 / 512, mel_filters(40, 512, 16000, 300.0, 7000.0)
    assert not filters[:, (f <= 300) | (f >= 7000)].any()
    inside = (f >= f[filters[0].argmax() + 1]) & (f <= f[filters[-1].argmax() - 1])
    np.testing.assert_allclose(filters[:, inside].sum(0), 1)
    heard = log_mel(tone(1000, 16000), 16000, low=300.0, high=7000.0).argmax(1)
    assert (heard == filters[:, 32].argmax()).all()
    assert log_mel(np.zeros(800), 8000).unique().item() == pytest.approx(np.log(1e-10))


def test_normalise():
    x = [2 + 3 * torch.randn(n, 5, generator=torch.manual_seed(n)) for n in (30, 1, 80)]
    each = normalise(x)
    torch.testing.assert_close(each[2].mean(0), torch.zeros(5), atol=1e-6, rtol=0)
    torch.testing.assert_close(each[2].std(0, correction=0), torch.ones(5))
    assert not each[1].any()
    torch.testing.assert_close(normalise([x[0] * 4 + 1])[0], each[0])
    torch.testing.assert_close(normalise(x, variance=False)[0], x[0] - x[0].mean(0))
    together = torch.cat(normalise(x, "global"))
    torch.testing.assert_close(together.mean(0), torch.zeros(5), atol=1e-6, rtol=0)
    by_first = normalise(x, "global", fit=x[:1])[2]
    torch.testing.assert_close(by_first, (x[2] - x[0].mean(0)) / x[0].std(0, correction=0))


BAD = [
    (lambda: log_mel(np.zeros(0), 8000), r"N > 0, got \(0,\)"),
    (lambda: log_mel(np.zeros((1, 2, 3)), 8000), r"got \(1, 2, 3\)"),
    (lambda: log_mel(np.zeros(99), 8000, hop=1e-5), "a hop of 1, got 200 and 0"),
    (lambda: log_mel(np.zeros(99), 8000, bands=200), "holds none .* fewer than 200"),
    (lambda: log_mel(np.zeros(99), 8000, high=4001), "high <= 4000 Hz.*to 4001 Hz"),
    (lambda: normalise([], "speaker"), "got 'speaker'"),
    (lambda: normalise([torch.zeros(3, 2)], fit=[torch.zeros(3, 2)]), "or without"),
    (lambda: normalise(torch.zeros(3, 2)), r"\(T, bands\) with T > 0, got \(2,\)"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
