"""Which precision is fastest, by what the device has and by the clock."""

import pytest
import torch

from rnnlib.nets import precision


@pytest.mark.parametrize(("major", "expected"), [(7, "float16"), (8, "bfloat16"), (9, "bfloat16")])
def test_a_gpu_is_asked_what_it_has(monkeypatch, major, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 5))
    assert precision.fastest("cuda") == expected


@pytest.mark.parametrize(("ratio", "expected"), [(1.4, "float32"), (1.6, "bfloat16")])
def test_a_cpu_is_timed(monkeypatch, ratio, expected):
    clock = [0.0]

    def product(a, b):
        clock[0] += 1.0 if a.dtype == torch.bfloat16 else ratio

    monkeypatch.setattr(torch, "mm", product)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: clock[0])
    assert precision.fastest("cpu") == expected


def test_on_this_machine():
    assert precision.fastest("cpu") in precision.PRECISIONS
