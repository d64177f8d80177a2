"""`train tag`: the network, its measurements and baseline, and the data and options that people give it."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import SHARED, needs
from tagged_files import TAGS, conllu_text, spans_text, write_conllu
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from carrousel import checkpoint
from carrousel.cli import run
from carrousel.tasks import ALL
from carrousel.tasks.network import CELLS
from carrousel.tasks.tag import TASK, TagOptions
from carrousel.tasks.tagging.evaluate import PIECE, evaluate, tag
from carrousel.tasks.tagging.lexicon import HALF, Lexicon
from carrousel.tasks.tagging.model import Tagger
from carrousel.tasks.tagging.sources import hold_out_runs
from carrousel.training.options import BUDGETS
from carrousel.training.run import train as train_task
from carrousel.training.trained import load

EWT = SHARED / "ud_ewt"
SIZES = {"hidden": 8, "batch": 8, "steps": 12}
SMALL = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]
CPU = torch.device("cpu")


def train(file: Path, out: Path, **options) -> dict:
    """A small run in this process."""
    return train_task(TASK, TagOptions(files=(str(file),), **{**SIZES, **options}), out, quiet=True)


def some_data(folder: Path, **options):
    """Data of a small file, and the options of their run."""
    complete = TagOptions(files=(str(write_conllu(folder)),), **{**SIZES, **options}).complete()
    return TASK.data(complete, CPU), complete


def write_steps(folder: Path, name: str = "steps.npz", count: int = 30, seed: int = 1, **others) -> Path:
    """Sequences of 1 to 9 steps of two channels; a step's tag says whether the first rises or falls."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 10, count)
    x = random.standard_normal((int(lengths.sum()), 2)).astype(np.float32) + 50
    y = np.where(x[:, 0] > 50, "up", "down")
    np.savez(folder / name, **{"x": x, "y": y, "lengths": lengths, **others})
    return folder / name


# ---- the network ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2])
def test_the_network_is_that_of_torch(tmp_path, layers):
    """Scores and gradients as from torch.nn.LSTM, each word spelled by itself and sentences packed."""
    data, options = some_data(tmp_path, layers=layers, dropout=0.0, word_dropout=0.0)
    ours, batch = Tagger(data.facts, options), data.batch(0)
    speller = nn.LSTM(options.char_embedding, options.char_hidden, bidirectional=True)
    speller.load_state_dict(ours.encoder.speller.state_dict())
    recurrent = nn.LSTM(ours.encoder.size, options.hidden, layers, bidirectional=True)
    recurrent.load_state_dict(ours.recurrent.state_dict())
    spellings, rows = batch.spellings, []
    for number in batch.x.tolist():
        first, length = int(spellings.starts[number]), int(spellings.lengths[number])
        characters = ours.encoder.characters(spellings.characters[first : first + length])
        _, (h, _) = speller(characters[:, None])
        rows.append(torch.cat([ours.encoder.words(spellings.words[number]), h[0, 0], h[1, 0]]))
    parts = torch.stack(rows).split(batch.offsets.diff().tolist())
    padded, lengths = pad_packed_sequence(recurrent(pack_sequence(parts, enforce_sorted=False))[0])
    expected = ours.output(torch.cat([padded[:length, b] for b, length in enumerate(lengths)]))
    found = ours(batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    twins = [*speller.parameters(), *recurrent.parameters()]
    wanted = torch.autograd.grad(cross_entropy(expected, batch.targets), twins)
    cross_entropy(found, batch.targets).backward()
    weights = [*ours.encoder.speller.parameters(), *ours.recurrent.parameters()]
    for weight, grad in zip(weights, wanted, strict=True):
        torch.testing.assert_close(weight.grad, grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("crf", [False, True])
def test_every_cell_tags_each_sentence_by_itself(tmp_path, cell, crf):
    """Tags and probabilities do not depend on the sentences beside them."""
    data, options = some_data(tmp_path, cell=cell, crf=crf)
    model, sentences = Tagger(data.facts, options), data.valid.sentences
    found = tag(model, sentences, with_probability=True)
    assert model.training
    for index in range(len(sentences)):
        alone = tag(model, sentences.select(torch.tensor([index])), with_probability=True)
        first, last = found.batch.offsets[index : index + 2].tolist()
        assert torch.equal(alone.predicted, found.predicted[first:last])
        torch.testing.assert_close(alone.probability, found.probability[first:last], rtol=1e-4, atol=1e-5)


def test_rare_words_are_read_as_unknown_in_training_only(tmp_path):
    data, options = some_data(tmp_path, dropout=0.0, word_dropout=2.0)
    model, batch = Tagger(data.facts, options), data.batch(0)
    counts = Lexicon.from_json(data.facts["lexicon"]).word_counts
    expected = [1.0, *(2 / (2 + count) for count in counts.values())]
    torch.testing.assert_close(model.encoder.chances, torch.tensor(expected))
    assert not torch.equal(model(batch), model(batch))
    model.eval()
    assert torch.equal(model(batch), model(batch))


# ---- words and batches ----------------------------------------------------------------------------------------------


def test_words_characters_and_tags_are_counted():
    words = ["The", "cat", "the", "the", "cat", "saw"]
    lexicon = Lexicon.count(words, np.array([0, 1, 2, 2, 0, 0]))
    assert lexicon.spellings == ("The", "cat", "the", "saw")
    assert lexicon.counts == (1, 2, 2, 1)
    assert lexicon.frequent == (0, 1, 2, 0)  # of equally frequent tags the first that appears
    assert lexicon.most_frequent == 0
    assert lexicon.word_counts == {"the": 3, "cat": 2}  # the others appear once
    assert lexicon.characters == "aeht"  # the others are in one word only
    assert Lexicon.from_json(json.loads(json.dumps(lexicon.to_json()))) == lexicon
    long = "a" * HALF + "x" * 1000 + "t" * HALF
    found = lexicon.encode(["THE", "the", "cut", long])
    assert found.words.tolist() == [1, 1, 0, 0]
    assert found.is_known.tolist() == [False, True, False, False]
    assert found.frequent.tolist() == [0, 2, 0, 0]
    spelled, offsets = found.spell(torch.tensor([1, 0, 3]))
    assert spelled.tolist() == [4, 3, 2] + [0, 0, 0] + [1] * HALF + [4] * HALF
    assert offsets.tolist() == [0, 3, 6, 6 + 2 * HALF]


def test_whole_runs_of_sentences_are_held_out():
    held_out = hold_out_runs(12_500, 0.1, seed=1)
    assert held_out.sum() == 1250
    assert (np.flatnonzero(np.diff(held_out)) + 1).tolist() == [
        place for place in range(50, 12_500, 50) if held_out[place] != held_out[place - 1]
    ]
    assert held_out[:6000].any()
    assert held_out[6000:].any()
    assert not np.array_equal(held_out, hold_out_runs(12_500, 0.1, seed=2))
    assert hold_out_runs(60, 0.1, seed=1).sum() == 6
    assert hold_out_runs(1, 0.9, seed=1).sum() == 0
    assert hold_out_runs(3, 0.99, seed=1).sum() == 2


# ---- measurements ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crf", [False, True])
def test_loss_and_accuracies_are_those_of_a_loop(tmp_path, crf):
    data, options = some_data(tmp_path, crf=crf, valid_fraction=0.5)
    model, held_out = Tagger(data.facts, options), data.valid
    score = evaluate(model, held_out)
    model.eval()
    sentences, losses, right, unknown = held_out.sentences, [], [], []
    for index in range(len(sentences)):
        batch = sentences.select(torch.tensor([index])).gather()
        scores = model(batch)
        losses.append(model.head.loss(scores, batch.targets, batch.offsets).item())
        right += (model.head.decode(scores, batch.offsets) == batch.targets).tolist()
        unknown += (~batch.spellings.is_known[batch.x]).tolist()
    assert score.loss == pytest.approx(sum(losses) / len(right), rel=1e-5)
    assert score.more["accuracy"] == np.mean(right)
    assert 0 < sum(unknown) < len(unknown)
    assert score.more["unknown_accuracy"] == np.mean([r for r, u in zip(right, unknown, strict=True) if u])
    assert (score.count, score.more["words"]) == (30, len(right))
    some = evaluate(model, held_out, sample=10)
    assert some.count == 10
    assert "most_frequent_accuracy" not in some.more


def test_many_words_are_measured_piece_by_piece(tmp_path):
    data, options = some_data(tmp_path)
    model, few = Tagger(data.facts, options), data.valid.sentences
    many = few.select(torch.arange(10 * PIECE) % len(few))
    groups = many.split_by_length(PIECE)
    assert len(groups) > 10
    assert torch.cat(groups).sort()[0].equal(torch.arange(10 * PIECE))
    assert max(int(many.lengths[group].sum()) for group in groups) < PIECE + 10
    once, often = tag(model, few), tag(model, many)
    assert torch.equal(often.predicted[: len(once.predicted)], once.predicted)
    assert often.loss / len(often.predicted) == pytest.approx(once.loss / len(once.predicted), rel=1e-3)


@pytest.mark.slow
def test_the_baseline_is_the_most_frequent_tag(tmp_path, capsys):
    """CoNLL columns: "x" is mostly A, "y" is B; "new" is unknown, and gets A, the most frequent of all."""
    rows = ["x A", "x A", "x B", "y B", "", "x A", "y B", ""]
    (tmp_path / "a.txt").write_text("\n".join(rows * 5))
    train(tmp_path / "a.txt", tmp_path / "out", valid_fraction=0.0)
    (tmp_path / "b.txt").write_text("x A\nx B\ny B\ny A\nnew A\nnew B\n\nx A\n")
    assert run(["eval", str(tmp_path / "out"), str(tmp_path / "b.txt"), "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["most_frequent_accuracy"] == 4 / 7
    assert (numbers["sentences"], numbers["words"]) == (2, 7)


# ---- runs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    return write_conllu(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--crf"]])
def test_a_run_learns_and_leaves_its_report_and_pictures(file, tmp_path, capsys, more):
    """Numbers that never trained are recognised by their characters."""
    out = tmp_path / "out"
    assert run(["train", "tag", str(file), "--out", str(out), *SMALL, "--steps", "150", *more]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{file}: left out 60 multiword lines" in lines
    assert re.search(
        r"accuracy \d+\.\d\d% \(unknown words \d+\.\d\d%\)  \(baseline: most frequent tag \d\d\.\d\d%\)", lines[-2]
    )
    assert lines[-1].endswith("last.safetensors, best.safetensors, loss.png, confusion.png, run.json")
    valid = json.loads((out / "run.json").read_text())["result"]["valid"]
    assert valid["accuracy"] > valid["most_frequent_accuracy"]
    assert valid["unknown_accuracy"] > 0.8
    assert valid.keys() == {
        "loss", "accuracy", "unknown_accuracy", "most_frequent_accuracy", "words", "sentences",
    }  # fmt: skip
    assert load(out, ALL).facts["tags"] == ["DET", "NOUN", "NUM", "PUNCT", "VERB"]


@pytest.mark.slow
@pytest.mark.parametrize("crf", [False, True])
def test_spans_are_learned_and_measured(tmp_path, crf):
    (tmp_path / "a.conll").write_text(spans_text())
    result = train(tmp_path / "a.conll", tmp_path / "out", steps=200, hidden=16, lr=0.01, crf=crf)
    assert result["valid"]["span_f1"] > 0.9
    assert result["valid"]["most_frequent_span_f1"] < 0.7
    assert "F1 over spans" in TASK.describe(result["valid"])


@pytest.mark.slow
@pytest.mark.parametrize("crf", [False, True])
def test_eval_and_predict_agree(file, tmp_path, capsys, crf):
    train(file, tmp_path / "out", steps=100, crf=crf)
    other = write_conllu(tmp_path, "other.conllu", count=33, seed=2)
    assert run(["eval", str(tmp_path / "out"), str(other), "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert run(["predict", str(tmp_path / "out"), str(other)]) == 0
    printed = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert list(rows[0]) == ["sentence", "word", "predicted", "probability"]
    right = [row["predicted"] == TAGS.get(row["word"], "NUM") for row in rows]
    assert (np.mean(right), len(rows), rows[-1]["sentence"]) == (numbers["accuracy"], numbers["words"], "33")
    assert all(0.19 < float(row["probability"]) <= 1 for row in rows)
    assert run(["predict", str(tmp_path / "out"), str(other), "--out", str(tmp_path / "new.csv")]) == 0
    assert (tmp_path / "new.csv").read_text() == printed


@pytest.mark.slow
def test_words_without_tags_are_predicted_and_not_evaluated(file, tmp_path, capsys):
    train(file, tmp_path / "out")
    (tmp_path / "new.txt").write_text('the\ncat\n"\n\n1,5\n')
    assert run(["predict", str(tmp_path / "out"), str(tmp_path / "new.txt")]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["sentence"], row["word"]) for row in rows] == [("1", "the"), ("1", "cat"), ("1", '"'), ("2", "1,5")]
    assert run(["eval", str(tmp_path / "out"), str(tmp_path / "new.txt")]) == 2
    assert "new.txt: column 1 holds the words, and cannot hold the tags too" in capsys.readouterr().err


@pytest.mark.slow
def test_tags_that_never_trained_count_as_errors(file, tmp_path, capsys):
    result = train(file, tmp_path / "out", steps=100)
    other = write_conllu(tmp_path, "other.conllu", count=20, seed=2, tags={"DET": "NEW"})
    count = sum("\tNEW\t" in line for line in other.read_text().splitlines())
    assert run(["eval", str(tmp_path / "out"), str(other)]) == 0
    notes, numbers = capsys.readouterr().out.splitlines()[-2:]
    assert notes.endswith(f"other.conllu: {count} words have tags without training data, and count as errors: NEW")
    accuracy = float(re.search(r"accuracy (\d+\.\d\d)%", numbers)[1])
    assert accuracy / 100 <= result["valid"]["accuracy"] - 0.1
    for crf in (False, True):
        valid = train(file, tmp_path / f"out{crf}", valid=str(other), crf=crf)
        assert 0 < valid["valid"]["loss"] < 5
        assert len(valid["notes"]) == 3
    unknown = write_conllu(tmp_path, "unknown.conllu", tags=dict.fromkeys([*TAGS.values(), "NUM"], "X"))
    assert run(["eval", str(tmp_path / "out"), str(unknown)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        "has none of the tags that the model was trained on: they are DET, NOUN, NUM, PUNCT, VERB, the file has X"
        in line
    )


@pytest.mark.slow
def test_steps_of_numbers_are_tagged(tmp_path, capsys):
    file = write_steps(tmp_path, count=60)
    result = train(file, tmp_path / "out", steps=300)
    assert result["valid"]["accuracy"] > 0.9 > result["valid"]["most_frequent_accuracy"]
    other = write_steps(tmp_path, "other.npz", count=5, seed=2)
    assert run(["eval", str(tmp_path / "out"), str(other), "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert run(["predict", str(tmp_path / "out"), str(other)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    content = np.load(other)
    assert [row["predicted"] == tag for row, tag in zip(rows, content["y"], strict=True)].count(True) == round(
        numbers["accuracy"] * len(rows)
    )
    assert [int(row["step"]) for row in rows] == [step + 1 for n in content["lengths"] for step in range(n)]
    assert rows[0]["sequence"] == "x[0]"
    words = write_conllu(tmp_path)
    assert run(["eval", str(tmp_path / "out"), str(words)]) == 2
    assert "has words, and the model was trained on numbers: name a .npz file" in capsys.readouterr().err


@pytest.mark.slow
def test_missing_values_of_steps_are_replaced_if_that_is_wanted(tmp_path, capsys):
    file = write_steps(tmp_path)
    x = np.load(file)["x"].copy()
    x[3, 1] = np.nan
    file = write_steps(tmp_path, x=x)
    command = ["train", "tag", str(file), "--out", str(tmp_path / "out"), *SMALL]
    assert run(command) == 2
    assert "x1 missing at step" in capsys.readouterr().err
    assert run([*command, "--impute", "mean"]) == 0
    assert "steps.npz: 1 missing values were replaced (--impute mean)" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("a A\n\nb B\n", "all 2 sentences train: they are too few to validate on a part of them"),
        ("a A\nb B\n\n" * 20, ""),
        ("a A\nb B\n\n" * 20 + "c C\n\n", "1 words have tags without training data, and count as errors: C"),
        ("a A\nb B\n", "all 1 sentences train"),
    ],
)
def test_small_data_train(text, note, tmp_path):
    (tmp_path / "a.txt").write_text(text)
    result = train(tmp_path / "a.txt", tmp_path / "out", valid_fraction=0.3)
    assert result["step"] == 12
    assert [note in each for each in result["notes"]] == [True] * bool(note)


@pytest.mark.slow
def test_files_are_joined_and_columns_chosen(tmp_path):
    (tmp_path / "a.conllu").write_text(conllu_text(30).replace("\n", "\r\n"), encoding="utf-16")
    (tmp_path / "b.conllu").write_text(conllu_text(30, seed=2), encoding="utf-16")
    files = (str(tmp_path / "a.conllu"), str(tmp_path / "b.conllu"))
    options = TagOptions(**SIZES, files=files, column="XPOS", encoding="utf-16")
    result = train_task(TASK, options, tmp_path / "out", quiet=True)
    assert load(tmp_path / "out", ALL).facts["tags"] == ["D", "N", "P", "V"]
    assert result["notes"] == ["the 2 files: left out 60 multiword lines"]


OTHER = {  # another value for every option, and what else it takes for the option to matter
    "valid_fraction": (0.3, {}),
    "column": ("XPOS", {}),
    "word_column": (3, {}),
    "cell": ("gru", {}),
    "hidden": (9, {}),
    "layers": (2, {}),
    "dropout": (0.2, {}),
    "embedding": (7, {}),
    "char_embedding": (7, {}),
    "char_hidden": (7, {}),
    "word_dropout": (9.0, {}),
    "smoothing": (0.2, {}),
    "crf": (True, {}),
    "batch": (5, {}),
    "optimizer": ("adam", {"weight_decay": 0.5}),
    "lr": (0.01, {}),
    "weight_decay": (0.5, {}),
    "schedule": ("linear", {}),
    "clip": (0.01, {"optimizer": "sgd"}),
    "steps": (13, {}),
    "seed": (2, {}),
}
ELSEWHERE = {*BUDGETS, "files", "encoding", "valid", "impute", "patience", "device", "save_every"}  # have tests above


def test_every_option_has_a_test():
    assert {*OTHER, *ELSEWHERE} == set(TagOptions.describe())


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER)
def test_every_option_changes_the_weights(name, tmp_path):
    value, others = OTHER[name]
    text = re.sub(r"\t(\w+)\t\1\t", lambda m: f"\t{m[1]}\t{m[1]}s\t", conllu_text())  # lemmas that are not the words
    (tmp_path / "a.conllu").write_text(text)
    outs = tmp_path / "one", tmp_path / "other"
    for out, options in zip(outs, (others, {**others, name: value}), strict=True):
        train(tmp_path / "a.conllu", out, **options)
    one, other = (checkpoint.read(out / "last.safetensors", "")[1] for out in outs)
    assert any(
        name not in other or one[name].shape != other[name].shape or not torch.equal(one[name], other[name])
        for name in one
        if name.startswith("model.")
    )


GOOD = "a A\nb B\n"
BAD = {
    "one tag": ("a A\nb A\n", [], "all words to train on in .*a.txt have the tag A: name data with two tags or more"),
    "columns": ("a A\nb\n", [], "a.txt line 2 has 1 columns between blanks and the first line of a word 2"),
    "no tags": ("a\nb\n", [], "a.txt: column 1 holds the words, and cannot hold the tags too"),
    "column": (GOOD, ["--column", "UPOS"], "a.txt has no column 'UPOS': name one with --column: 1 to 2"),
    "word column": (GOOD, ["--word-column", "3"], "a.txt has no column 3 for the words: it has 2 columns"),
    "impute": (GOOD, ["--impute", "mean"], "--impute mean does not fit .*a.txt: no word is missing, leave it out"),
    "typo": (GOOD, ["--colum", "2"], "--colum"),
    "valid": (GOOD, ["--valid", "{tmp}/c.txt"], "c.txt does not exist"),
    "valid kind": (GOOD, ["--valid", "{tmp}/s.npz"], "s.npz has numbers, and the model was trained on words"),
    "valid tags": (GOOD, ["--valid", "{tmp}/x.txt"], "x.txt has none of the tags .* they are A, B, the file has X, Y"),
    "two kinds": (GOOD, ["{tmp}/s.npz"], "a.txt and .*s.npz are not of one kind: train on words, or on numbers"),
    "encoding": ("é A\nb B\n", ["--encoding", "ascii"], "a.txt is not ascii: byte 0xc3 at line 1, column 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_one_line(case, tmp_path, capsys):
    text, options, message = BAD[case]
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (tmp_path / "x.txt").write_text("a X\nb Y\n")
    write_steps(tmp_path, "s.npz")
    options = [option.format(tmp=tmp_path) for option in options]
    assert run(["train", "tag", str(tmp_path / "a.txt"), "--out", str(tmp_path / "out"), *options]) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert re.fullmatch(rf"carrousel: [^\n]*{message}[^\n]*\n", stderr), stderr
    assert not (tmp_path / "out").exists()


BAD_STEPS = {
    "no tags": ({"y": None}, [], "s.npz has no array y: write it with a tag for each step"),
    "a tag for each sequence": ({"y": np.arange(30)}, [], r"s.npz has y \[30\] for steps x \[\d+, 2\]"),
    "column": ({}, ["--column", "2"], "--column 2 does not fit .*s.npz: leave it out for .npz files"),
}


@pytest.mark.parametrize("case", BAD_STEPS)
def test_bad_steps_are_one_line(case, tmp_path, capsys):
    arrays, options, message = BAD_STEPS[case]
    content = dict(np.load(write_steps(tmp_path, "s.npz")))
    content = {name: array for name, array in {**content, **arrays}.items() if array is not None}
    np.savez(tmp_path / "s.npz", **content)
    assert run(["train", "tag", str(tmp_path / "s.npz"), "--out", str(tmp_path / "out"), *options]) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert re.fullmatch(rf"carrousel: [^\n]*{message}[^\n]*\n", stderr), stderr


@needs(EWT)
@pytest.mark.slow
def test_parts_of_speech_are_learned(tmp_path):
    """250 steps of a small network on the dev part, far fewer than by default, beat the most frequent tag."""
    file = EWT / "en_ewt-ud-dev.conllu.gz"
    result = train(file, tmp_path / "out", hidden=32, batch=32, steps=250, lr=0.01)
    assert result["valid"]["accuracy"] > result["valid"]["most_frequent_accuracy"] + 0.02
