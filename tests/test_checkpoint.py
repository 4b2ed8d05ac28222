"""Checkpoints: exact, atomic, safe to load, and forgiving of damage."""

import json
import os
import pickle

import pytest
import torch

from rnnlib import checkpoint


def tensors(k=0):
    torch.manual_seed(k)
    return {"a": torch.randn(3, 4), "b": torch.randint(9, (5,)), "c": torch.randn(2).double()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_what_was_saved_comes_back(tmp_path):
    record = {"losses": [0.1, 1e-300, 1 / 3], "name": "ä", "none": None}
    checkpoint.save(tmp_path / "new" / "folder", 7, tensors(), record)
    step, found, back = checkpoint.load(tmp_path / "new" / "folder")
    assert (step, back) == (7, record)
    assert same(found, tensors())
    assert all(found[k].dtype == v.dtype for k, v in tensors().items())


def test_views_of_one_storage_can_be_saved(tmp_path):
    whole = torch.arange(12.0)
    checkpoint.save(tmp_path, 1, {"x": whole[:6], "y": whole[3:], "z": whole.view(3, 4).T}, {})
    _, found, _ = checkpoint.load(tmp_path)
    assert same(found, {"x": whole[:6], "y": whole[3:], "z": whole.view(3, 4).T})


def test_the_newest_few_stay(tmp_path):
    for step in (5, 10, 100):
        checkpoint.save(tmp_path, step, tensors(step), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000010.json",
        "step-00000010.safetensors",
        "step-00000100.json",
        "step-00000100.safetensors",
    ]
    assert checkpoint.load(tmp_path)[0] == 100


def test_no_checkpoint_is_no_error(tmp_path):
    assert checkpoint.load(tmp_path) is None
    assert checkpoint.load(tmp_path / "absent") is None


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "gone"])
def test_a_damaged_one_is_noticed_and_the_one_before_is_used(tmp_path, suffix, damage):
    checkpoint.save(tmp_path, 1, tensors(1), {"k": 1})
    path = checkpoint.save(tmp_path, 2, tensors(2), {"k": 2}).with_suffix(suffix)
    data = path.read_bytes()
    middle = len(data) // 2
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {
                "cut": data[:-1],
                "empty": b"",
                "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            }[damage]
        )
    if (suffix, damage) == (".json", "gone"):  # as if it had not been written yet
        step, found, record = checkpoint.load(tmp_path)
    else:
        with pytest.warns(UserWarning, match="step-00000002.json is damaged"):
            step, found, record = checkpoint.load(tmp_path)
    assert (step, record) == (1, {"k": 1})
    assert same(found, tensors(1))


def test_if_all_are_damaged_it_says_so(tmp_path):
    path = checkpoint.save(tmp_path, 1, tensors(), {})
    path.with_suffix(".safetensors").write_bytes(b"no")
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(checkpoint.CheckpointError, match="all 1 checkpoints.*start afresh"),
    ):
        checkpoint.load(tmp_path)


@pytest.mark.filterwarnings("error")  # what was not finished is no damaged checkpoint
@pytest.mark.parametrize("moment", ["during the tensors", "between the files", "during the JSON"])
def test_a_stop_while_writing_leaves_the_last_one(tmp_path, monkeypatch, moment):
    checkpoint.save(tmp_path, 1, tensors(1), {})
    real, calls = os.replace, []

    def stop(source, target):
        calls.append(target)
        if moment == "during the tensors" or len(calls) == 2:
            raise KeyboardInterrupt
        real(source, target)
        if moment == "between the files":
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, 2, tensors(2), {})
    monkeypatch.undo()
    assert checkpoint.load(tmp_path)[0] == 1
    checkpoint.save(tmp_path, 2, tensors(2), {})
    assert checkpoint.load(tmp_path)[0] == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value):
    checkpoint.save(tmp_path, 1, tensors(1), {})
    bad = tensors(2)
    bad["a"][1, 2] = value
    with pytest.raises(checkpoint.CheckpointError, match="a is not finite at step 2"):
        checkpoint.save(tmp_path, 2, bad, {})
    assert checkpoint.load(tmp_path)[0] == 1


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    path = checkpoint.save(tmp_path, 1, tensors(), {})
    blob = pickle.dumps(Bomb())
    path.with_suffix(".safetensors").write_bytes(blob)
    whole = json.loads(path.read_text())
    whole["sha256"] = checkpoint._sha256(blob)
    path.write_text(json.dumps(whole))
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(checkpoint.CheckpointError):
        checkpoint.load(tmp_path)
    assert not (tmp_path / "exploded").exists()
