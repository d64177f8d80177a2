"""`train classify`: the network, its measurements and baselines, and every option and data set that people give it."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import CLASSES, ts_text, write_ts
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carrousel import checkpoint
from carrousel.cli import run
from carrousel.data.examples import Examples
from carrousel.tasks import ALL
from carrousel.tasks.classification.baselines import find_nearest, most_frequent, summarize
from carrousel.tasks.classification.evaluate import evaluate, macro_f1
from carrousel.tasks.classification.held_out import HeldOut
from carrousel.tasks.classification.model import Classifier
from carrousel.tasks.classify import TASK, ClassifyOptions
from carrousel.tasks.confusion import count_confusions
from carrousel.tasks.network import CELLS
from carrousel.tasks.pooled import POOLS, compute_outputs
from carrousel.training.options import BUDGETS
from carrousel.training.run import train as train_task
from carrousel.training.trained import load

VOWELS = Path(__file__).resolve().parents[3] / "shared" / "data" / "japanese_vowels"
needs_vowels = pytest.mark.skipif(not VOWELS.exists(), reason=f"{VOWELS} is not here")
SIZES = {"hidden": 8, "batch": 8, "steps": 12}
SMALL = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]


def train(file: Path, out: Path, **options) -> dict:
    """A small run in this process."""
    return train_task(TASK, ClassifyOptions(files=(str(file),), **{**SIZES, **options}), out, quiet=True)


def some_examples(count: int = 20, classes: int = 3, seed: int = 0) -> Examples:
    """Sequences of 1 to 9 steps of two channels."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 10, (count,), generator=generator)
    values = torch.randn(int(lengths.sum()), 2, generator=generator)
    return Examples(values, lengths.cumsum(0) - lengths, lengths, torch.arange(count) % classes)


# ---- the network ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(("directions", "layers"), [("both", 1), ("forward", 2)])
def test_the_network_is_that_of_torch(pool, directions, layers):
    """Logits and gradients as from torch.nn.LSTM on packed sequences, pooled in a loop."""
    exact = {"dropout": 0.0, "noise": 0.0, "shift": 0.0}
    options = ClassifyOptions(hidden=6, layers=layers, pool=pool, directions=directions, **exact)
    ours = Classifier(2, 3, options)
    lstm = nn.LSTM(2, 6, layers, bidirectional=directions == "both")
    lstm.load_state_dict(ours.recurrent.state_dict())
    some = some_examples()
    y, (h, _) = lstm(pack_padded_sequence(some.pad(), some.lengths, enforce_sorted=False))
    y = pad_packed_sequence(y)[0]
    rows = [y[:length, b] for b, length in enumerate(some.lengths)]
    pooled = {
        "mean": torch.stack([row.mean(0) for row in rows]),
        "max": torch.stack([row.amax(0) for row in rows]),
        "last": torch.cat([*h[-2:]], 1) if directions == "both" else h[-1],
    }[pool]
    expected = ours.output(pooled)
    found = ours(some.pad(), some.lengths)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    cross_entropy(expected, some.targets).backward()
    wanted = [weight.grad for weight in lstm.parameters()]
    cross_entropy(found, some.targets).backward()
    for weight, grad in zip(ours.recurrent.parameters(), wanted, strict=True):
        torch.testing.assert_close(weight.grad, grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_classifies_each_sequence_by_itself(cell):
    """A sequence's logits do not depend on those beside it."""
    model = Classifier(2, 3, ClassifyOptions(hidden=6, cell=cell, layers=2))
    some = some_examples(300)
    logits = compute_outputs(model, some)
    assert model.training
    for index in (0, 17, 299):
        torch.testing.assert_close(compute_outputs(model, some.select(torch.tensor([index])))[0], logits[index])


@pytest.mark.parametrize("name", ["noise", "shift"])
def test_noise_and_shift_are_of_training_only(name):
    model = Classifier(2, 3, ClassifyOptions(hidden=6, dropout=0.0, **{"noise": 0.0, "shift": 0.0, name: 0.5}))
    some = some_examples()
    assert not torch.equal(*(model(some.pad(), some.lengths) for _ in range(2)))
    model.eval()
    assert torch.equal(*(model(some.pad(), some.lengths) for _ in range(2)))


# ---- measurements ---------------------------------------------------------------------------------------------------


def test_loss_and_accuracy_are_those_of_a_loop():
    model = Classifier(2, 3, ClassifyOptions(hidden=6))
    some = some_examples(50)
    some.targets[:5] = -1  # labels that the model does not know
    score = evaluate(model, HeldOut(some, some_examples()))
    model.eval()
    logits = torch.cat(
        [model(part.pad(), part.lengths) for part in (some.select(torch.tensor([i])) for i in range(50))]
    )
    assert score.loss == pytest.approx(cross_entropy(logits[5:], some.targets[5:]).item(), rel=1e-5)
    assert score.more["accuracy"] == (logits.argmax(1) == some.targets).sum().item() / 50
    assert score.count == 50
    assert evaluate(model, HeldOut(some, some_examples()), sample=20).count == 20
    assert "nearest_neighbour_accuracy" not in evaluate(model, HeldOut(some, None)).more


@pytest.mark.parametrize(
    ("targets", "predicted", "value"),
    [
        ([0, 1, 2], [0, 1, 2], 1.0),
        ([0, 0, 1, 1], [0, 1, 1, 1], (2 / 3 + 4 / 5) / 2),
        ([0, 0, 0, 1], [0, 0, 0, 0], (6 / 7 + 0) / 2),
        ([0, 0], [0, 2], (2 / 3 + 0) / 2),  # a class that is only predicted counts
        ([0, -1], [0, 0], (2 / 3 + 0) / 2),  # and one that is unknown
    ],
)
def test_macro_f1(targets, predicted, value):
    assert macro_f1(np.array(targets), np.array(predicted)) == pytest.approx(value)


def test_summaries_are_those_of_each_sequence():
    some = some_examples(40)
    for index, row in enumerate(summarize(some)):
        x = some.values[some.starts[index] :][: some.lengths[index]]
        expected = [x.mean(0), x.std(0, correction=0), x.amin(0), x.amax(0), some.lengths[index][None].float()]
        torch.testing.assert_close(row, torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_the_nearest_neighbour_of_a_training_sequence_is_itself():
    some = some_examples(40, classes=7)
    assert torch.equal(find_nearest(some, some), some.targets)
    some.targets[:] = torch.tensor([3, 1, 1, 2] * 10)
    assert most_frequent(some) == 1


def test_confusions_are_counted():
    counts = count_confusions(np.array([0, 0, 1, -1, 2]), np.array([0, 2, 1, 1, 2]), 3)
    assert counts.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]


# ---- runs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    return write_ts(tmp_path)


@pytest.mark.slow
def test_a_run_learns_and_leaves_its_report_and_pictures(file, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["train", "classify", str(file), "--out", str(out), *SMALL, "--steps", "300"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.search(r"accuracy \d+\.\d\d%  macro F1 \d\.\d{4}  \(baselines: most frequent class 16.67%, ", lines[-2])
    assert lines[-1].endswith("last.safetensors, best.safetensors, loss.png, confusion.png, run.json")
    for name in ("loss.png", "confusion.png"):
        assert struct.unpack(">8s8xII", (out / name).read_bytes()[:24])[0] == b"\x89PNG\r\n\x1a\n"
    valid = json.loads((out / "run.json").read_text())["result"]["valid"]
    assert valid["accuracy"] >= 0.8
    assert valid.keys() == {
        "loss",
        "accuracy",
        "macro_f1",
        "most_frequent_accuracy",
        "nearest_neighbour_accuracy",
        "sequences",
    }
    assert load(out, ALL).facts["classes"] == ["9", "10", "fast", "slow"]


@pytest.mark.slow
def test_eval_and_predict_agree(file, tmp_path, capsys):
    train(file, tmp_path / "out", steps=100)
    other = write_ts(tmp_path, "other.ts", count=33, seed=2)
    assert run(["eval", str(tmp_path / "out"), str(other), "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert (numbers["sequences"], numbers["most_frequent_accuracy"]) == (33, 9 / 33)
    assert run(["predict", str(tmp_path / "out"), str(other)]) == 0
    printed = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert list(rows[0]) == ["name", "predicted", "p(9)", "p(10)", "p(fast)", "p(slow)"]
    labels = [CLASSES[index % 4] for index in range(33)]
    assert np.mean([row["predicted"] == label for row, label in zip(rows, labels, strict=True)]) == numbers["accuracy"]
    for row in rows:
        chances = {label: float(row[f"p({label})"]) for label in CLASSES}
        assert sum(chances.values()) == pytest.approx(1, abs=1e-4)
        assert chances[row["predicted"]] == max(chances.values())
    assert rows[0]["name"] == "line 4"
    assert run(["predict", str(tmp_path / "out"), str(other), "--out", str(tmp_path / "new.csv")]) == 0
    assert (tmp_path / "new.csv").read_text() == printed
    assert run(["predict", str(tmp_path / "out"), str(other), "--json"]) == 0
    assert [{name: str(value) for name, value in row.items()} for row in json.loads(capsys.readouterr().out)] == rows


@pytest.mark.slow
def test_a_file_without_labels_is_predicted_and_not_evaluated(file, tmp_path, capsys):
    train(file, tmp_path / "out")
    (tmp_path / "new.ts").write_text("@classLabel false\n@data\n1,2:3,4\n5:6\n")
    assert run(["predict", str(tmp_path / "out"), str(tmp_path / "new.ts")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert run(["eval", str(tmp_path / "out"), str(tmp_path / "new.ts")]) == 2
    assert "new.ts has no labels: name a file with a label for each sequence" in capsys.readouterr().err


@pytest.mark.slow
def test_labels_that_never_trained_count_as_errors(file, tmp_path, capsys):
    train(file, tmp_path / "out", steps=100)
    other = write_ts(tmp_path, "other.ts", count=20, classes=("fast", "new"))
    for valid in ({}, {"valid": str(other)}):
        result = train(file, tmp_path / f"out{len(valid)}", **valid)
        assert len(result["notes"]) == len(valid)
    assert result["valid"]["accuracy"] <= 0.5
    assert run(["eval", str(tmp_path / "out"), str(other)]) == 0
    note, numbers = capsys.readouterr().out.splitlines()
    assert note.endswith("other.ts: 10 sequences have labels without training data, and count as errors: new")
    assert float(re.search(r"accuracy (\d+\.\d\d)%", numbers)[1]) <= 50
    unknown = write_ts(tmp_path, "unknown.ts", count=20, classes=("a", "b"))
    assert run(["eval", str(tmp_path / "out"), str(unknown)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has none of the labels that the model was trained on: they are 9, 10, fast, slow, the file has a, b" in line


@pytest.mark.slow
def test_without_the_training_data_there_is_no_nearest_neighbour(file, tmp_path, capsys):
    train(file, tmp_path / "out")
    other = write_ts(tmp_path, "other.ts", count=8, seed=2)
    file.write_text(ts_text(seed=3))
    assert run(["eval", str(tmp_path / "out"), str(other), "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert "nearest_neighbour_accuracy" not in numbers
    assert numbers["notes"] == ["no baselines: the training data are not where they were, or have changed"]


@pytest.mark.slow
def test_missing_values_are_replaced_if_that_is_wanted(tmp_path, capsys):
    text = ts_text().replace("\n@data\n", "\n@data\n?,1:2,?:fast\n")
    (tmp_path / "a.ts").write_text(text)
    command = ["train", "classify", str(tmp_path / "a.ts"), "--out", str(tmp_path / "out"), *SMALL]
    assert run(command) == 2
    assert "a.ts, line 4: dimension 1 missing at step 1, the first of 2; " in capsys.readouterr().err
    assert run([*command, "--impute", "last"]) == 0
    assert "a.ts: 2 missing values were replaced (--impute last)" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "run.json").read_text())["result"]["notes"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            ts_text(9, classes=("a", "b")) + "5:5:c\n",
            "a class with a single sequence is trained on and not validated: c",
        ),
        (ts_text(9, classes=("a", "b")) + "5:5:\n6:6:?\n", "left out 2 sequences without a label"),
        ("@data\n1:a\n2:b\n", "all 2 sequences train: they are too few to validate on"),
        ("@data\n1:a\n2:b\n1:a\n2:b\n", ""),
    ],
)
def test_small_data_train(text, note, tmp_path):
    (tmp_path / "a.ts").write_text(text)
    result = train(tmp_path / "a.ts", tmp_path / "out", valid_fraction=0.5)
    assert result["step"] == 12
    assert [note in each for each in result["notes"]] == [True] * bool(note)


OTHER = {  # another value for every option, and what else it takes for the option to matter
    "valid_fraction": (0.3, {}),
    "impute": ("zero", {"impute": "mean"}),
    "cell": ("gru", {}),
    "hidden": (9, {}),
    "layers": (2, {}),
    "dropout": (0.2, {}),
    "directions": ("forward", {}),
    "pool": ("mean", {}),
    "noise": (0.2, {}),
    "shift": (0.2, {}),
    "smoothing": (0.2, {}),
    "batch": (5, {}),
    "optimizer": ("adam", {"weight_decay": 0.5}),
    "lr": (0.01, {}),
    "weight_decay": (0.5, {}),
    "schedule": ("linear", {}),
    "clip": (0.01, {"optimizer": "sgd"}),
    "steps": (13, {}),
    "seed": (2, {}),
}
READING = {"files", "encoding", "valid", "id", "time", "label", "label_from"}
ELSEWHERE = {*BUDGETS, *READING, "patience", "device", "save_every"}  # have tests of their own


def test_every_option_has_a_test():
    assert {*OTHER, *ELSEWHERE} == set(ClassifyOptions.describe())


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER)
def test_every_option_changes_the_weights(name, tmp_path):
    value, others = OTHER[name]
    (tmp_path / "a.ts").write_text(ts_text() + ("?,1:2,?:fast\n" if name == "impute" else ""))
    outs = tmp_path / "one", tmp_path / "other"
    for out, options in zip(outs, (others, {**others, name: value}), strict=True):
        train(tmp_path / "a.ts", out, **options)
    one, other = (checkpoint.read(out / "last.safetensors", "")[1] for out in outs)
    assert any(
        name not in other or one[name].shape != other[name].shape or not torch.equal(one[name], other[name])
        for name in one
        if name.startswith("model.")
    )


BAD = {
    "one class": ("@data\n1:a\n2:a\n", [], "all sequences in .*a.ts have the label 'a': name data with two labels"),
    "no labels": ("@classLabel false\n@data\n1,2\n", [], "a.ts has no labels"),
    "labels are missing": ("@data\n1:?\n2:\n", [], "a.ts has no labels"),
    "no number": ("@data\n1:a\n2x:b\n", [], "a.ts, line 3, column 1: '2x' is not a number"),
    "pool": ("@data\n1:a\n2:b\n", ["--pool", "min"], "--pool min is not one of mean, max, last"),
    "impute": ("@data\n1:a\n2:b\n", ["--impute", "mode"], "--impute mode is not one of zero, mean, last"),
    "typo": ("@data\n1:a\n2:b\n", ["--pol", "max"], "--pol"),
    "kind": ("@data\n1:a\n2:b\n", ["--valid", "{tmp}/b.txt"], "b.txt is not a kind of file that is read here"),
    "valid": ("@data\n1:a\n2:b\n", ["--valid", "{tmp}/c.ts"], "c.ts does not exist"),
    "valid channels": ("@data\n1:a\n2:b\n", ["--valid", "{tmp}/two.ts"], "two.ts has 2 channels .* trained on 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_one_line(case, tmp_path, capsys):
    text, options, message = BAD[case]
    (tmp_path / "a.ts").write_text(text)
    (tmp_path / "b.txt").write_text("text")
    (tmp_path / "two.ts").write_text("@data\n1:2:a\n")
    options = [option.format(tmp=tmp_path) for option in options]
    assert run(["train", "classify", str(tmp_path / "a.ts"), "--out", str(tmp_path / "out"), *options]) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert re.fullmatch(rf"carrousel: [^\n]*{message}[^\n]*\n", stderr), stderr
    assert not (tmp_path / "out").exists()


@needs_vowels
@pytest.mark.slow
def test_japanese_vowels_are_classified(tmp_path):
    """300 steps, far fewer than by default: better than the nearest neighbour, on data that never trained."""
    names = [str(VOWELS / f"JapaneseVowels_{part}.ts.gz") for part in ("TRAIN", "TEST")]
    train_task(TASK, ClassifyOptions(files=(names[0],), steps=300), tmp_path, quiet=True)
    trained = load(tmp_path, ALL)
    score = TASK.measure(trained.model, TASK.read(trained, names[1], "utf-8", torch.device("cpu")))
    assert score.count == 370
    assert score.more["accuracy"] > max(0.95, score.more["nearest_neighbour_accuracy"])
