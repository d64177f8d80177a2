"""Checkpoints: whole or not at all."""

from __future__ import annotations

import json
import os

import pytest
import torch
from runs import full_disk
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from carrousel import checkpoint
from carrousel.errors import UserError

FACTS = {"step": 3, "symbols": "a\u00e9\U0001f40d\ud800", "loss": 0.1 + 0.2, "none": None, "list": [1, [2.5, "x"]]}


def tensors():
    return {
        "wide": torch.randn(3, 5, dtype=torch.float64),
        "turned": torch.randn(4, 6).t(),
        "half": torch.randn(7).to(torch.bfloat16),
        "bytes": torch.get_rng_state()[:11],
        "number": torch.tensor(7.0),
        "nothing": torch.empty(0, 3),
        "not_finite": torch.tensor([torch.nan, torch.inf, -0.0]),
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_read_gives_what_was_written(path):
    written = tensors()
    checkpoint.write(path, FACTS, written, "advice")
    facts, found = checkpoint.read(path, "advice")
    assert facts == FACTS
    assert list(found) == sorted(written, key=list(found).index)
    for name, tensor in written.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name].nan_to_num(5.0), tensor.nan_to_num(5.0)), name
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_same_content_gives_the_same_bytes(path):
    written = tensors()
    checkpoint.write(path, FACTS, written, "advice")
    before = path.read_bytes()
    checkpoint.write(path, FACTS, dict(reversed(written.items())), "advice")
    assert path.read_bytes() == before


def test_others_can_read_it(path):
    written = {"a": torch.randn(2, 3)}
    checkpoint.write(path, FACTS, written, "advice")
    assert torch.equal(load_file(path)["a"], written["a"])
    with safe_open(path, framework="numpy") as file:
        assert json.loads(file.metadata()["carrousel"])["loss"] == FACTS["loss"]


def test_every_changed_byte_is_noticed(path):
    checkpoint.write(path, {"step": 3}, {"a": torch.randn(3)}, "advice")
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(UserError, match=r"truncated|edited|format|not one that carrousel wrote"):
            checkpoint.read(path, "advice")


def test_every_truncation_is_noticed(path):
    checkpoint.write(path, {"step": 3}, {"a": torch.randn(3)}, "advice")
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="truncated or not a checkpoint"):
            checkpoint.read(path, "advice")


def test_an_edited_tensor_is_noticed(path):
    """Edited with the proper tool, header intact."""
    checkpoint.write(path, FACTS, {"a": torch.zeros(3)}, "advice")
    facts, found = checkpoint.read(path, "advice")
    header = json.dumps({"format": checkpoint.FORMAT, **facts, "sha256": "0" * 64})
    save_file({"a": found["a"] + 1}, path, {"carrousel": header})
    with pytest.raises(UserError, match="was edited after it was written"):
        checkpoint.read(path, "advice")


def test_another_format_is_named(path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    checkpoint.write(path, {}, {"a": torch.zeros(3)}, "advice")
    monkeypatch.undo()
    with pytest.raises(UserError, match="has format 99, this carrousel reads 1"):
        checkpoint.read(path, "advice")


def test_what_is_no_checkpoint(path):
    with pytest.raises(UserError, match="does not exist"):
        checkpoint.read(path, "advice")
    with pytest.raises(UserError, match=r"cannot be read|not a checkpoint"):
        checkpoint.read(path.parent, "advice")
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="not one that carrousel wrote"):
        checkpoint.read(path, "advice")
    path.write_bytes(b"")
    with pytest.raises(UserError, match="truncated or not a checkpoint"):
        checkpoint.read(path, "advice")
    save_file({"a": torch.zeros(3)}, path, {"carrousel": "[]"})
    with pytest.raises(UserError, match="was edited"):
        checkpoint.read(path, "advice")


def test_a_full_disk_leaves_the_last_one(path):
    checkpoint.write(path, {"step": 1}, {"a": torch.zeros(100)}, "advice")
    before = path.read_bytes()
    with (
        full_disk(free=5000),
        pytest.raises(UserError, match=r"could not be saved \(File too large\); advice"),
    ):
        checkpoint.write(path, {"step": 2}, {"a": torch.zeros(10_000)}, "advice")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_folder_that_is_gone(path):
    with pytest.raises(UserError, match="could not be saved"):
        checkpoint.write(path.parent / "gone" / "a", {}, {"a": torch.zeros(1)}, "advice")


def test_a_file_as_a_folder_is_told(path):
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"could not be saved \(Not a directory\)"):
        checkpoint.write(path / "a", {}, {"a": torch.zeros(1)}, "advice")
    with pytest.raises(UserError, match=r"could not be saved \(File name too long\)"):
        checkpoint.write(path.parent / ("a" * 300), {}, {"a": torch.zeros(1)}, "advice")


def test_what_is_no_file_is_not_replaced(path):
    """Who is root had /dev/null turned into a checkpoint."""
    os.mkfifo(path)
    with pytest.raises(UserError, match=r"could not be saved \(Not a regular file\)"):
        checkpoint.write(path, {}, {"a": torch.zeros(1)}, "advice")
    assert path.is_fifo()
    with pytest.raises(UserError, match=r"could not be saved \(Is a directory\)"):
        checkpoint.write(path.parent, {}, {"a": torch.zeros(1)}, "advice")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_link_stays_one_and_leads_to_the_new_file(path):
    path.symlink_to(path.with_name("elsewhere"))
    for step in (1, 2):
        checkpoint.write(path, {"step": step}, {"a": torch.zeros(1)}, "advice")
    assert path.is_symlink()
    assert checkpoint.read(path.with_name("elsewhere"), "advice")[0]["step"] == 2
