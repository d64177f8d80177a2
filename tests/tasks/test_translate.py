"""`train translate`: the network, its measurements, and every option and data set that people give it."""

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
from data_files import SHARED, needs
from runs import train as train_text
from runs import write_text
from torch import nn
from torch.nn.functional import cross_entropy
from translations import pairs_text, write_pairs

from carrousel import checkpoint
from carrousel.cli import run
from carrousel.data.subwords import START, Subwords
from carrousel.data.symbol_pairs import SymbolPairs, SymbolTexts
from carrousel.tasks import ALL
from carrousel.tasks.translate import TASK, TranslateOptions
from carrousel.tasks.translation import translate as in_groups
from carrousel.tasks.translation.attention import LONGEST, choose, draw_attention, measure_attention
from carrousel.tasks.translation.evaluate import evaluate, measure_loss, score
from carrousel.tasks.translation.held_out import HeldOut
from carrousel.tasks.translation.model import Translator, TranslatorOptions
from carrousel.training.options import BUDGETS
from carrousel.training.run import train as train_task
from carrousel.training.trained import load

TATOEBA = SHARED / "tatoeba" / "fra-eng.txt.gz"
CPU = torch.device("cpu")
SIZES = {"hidden": 12, "embedding": 8, "vocabulary": 300, "batch": 8, "steps": 12, "beam": 2}
SMALL = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]


def train(file: Path, out: Path, **options) -> dict:
    """A small run in this process."""
    return train_task(TASK, TranslateOptions(files=(str(file),), **{**SIZES, **options}), out, quiet=True)


def some_texts(count: int, seed: int, symbols: int) -> SymbolTexts:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, 9, count)
    return SymbolTexts.join(draw.integers(3, symbols, lengths.sum()).astype(np.int32), lengths, CPU)


def some_pairs(count: int = 20, symbols: int = 30) -> SymbolPairs:
    return SymbolPairs(some_texts(count, 1, symbols), some_texts(count, 2, symbols))


def new_model(symbols: int = 30, **options) -> Translator:
    torch.manual_seed(0)
    return Translator(
        symbols, TranslatorOptions(**{"hidden": 12, "embedding": 8, "dropout": 0.0, **options}).complete()
    )


# ---- the network ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2])
def test_the_network_is_that_of_torch_pair_by_pair(layers):
    """Loss and gradients as from torch.nn.LSTM, with attention in a loop over pairs and steps."""
    ours = new_model(layers=layers)
    encoder, decoder = nn.LSTM(8, 6, layers, bidirectional=True), nn.LSTM(8, 12, layers)
    encoder.load_state_dict(ours.encoder.state_dict())
    decoder.load_state_dict(ours.decoder.state_dict())
    pairs = some_pairs()
    losses = []
    for source, target in zip(pairs.sources.to_lists(), pairs.targets.to_lists(), strict=True):
        y, hx = encoder(ours.table[source] * 8**0.5)
        hx = tuple(torch.cat([state[0::2], state[1::2]], 1) for state in hx)
        z, _ = decoder(ours.table[[START, *target[:-1]]] * 8**0.5, hx)
        for step, symbol in zip(z, target, strict=True):
            weights = torch.stack([step @ (ours.keys.weight @ each) for each in y]).softmax(0)
            context = sum(weight * each for weight, each in zip(weights, y, strict=True))
            mixed = torch.tanh(ours.mix(torch.cat([step, context])))
            losses.append(cross_entropy((ours.table @ mixed + ours.bias)[None], torch.tensor([symbol])))
    expected = torch.stack(losses).mean()
    wanted = torch.autograd.grad(expected, [ours.table, *encoder.parameters(), *decoder.parameters(), ours.keys.weight])
    loss, _ = TASK.loss(ours.eval(), pairs.to_batch(), ())
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    found = torch.autograd.grad(
        loss, [ours.table, *ours.encoder.parameters(), *ours.decoder.parameters(), ours.keys.weight]
    )
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_the_loss_in_training_is_smoothed_and_in_measurements_is_not():
    model, pairs = new_model(smoothing=0.3), some_pairs()
    features, targets = model.features(pairs.to_batch())
    for smoothing in (0.3, 0.0):
        expected = cross_entropy(model.logits(features), targets, label_smoothing=smoothing)
        torch.testing.assert_close(TASK.loss(model, pairs.to_batch(), ())[0], expected)
        model.eval()
    assert measure_loss(model, pairs) == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "peephole", "lstm1997"])
def test_padding_changes_nothing(cell):
    """The loss of each pair by itself, weighted by its symbols."""
    model, pairs = new_model(cell=cell, layers=2), some_pairs(200)
    model.eval()
    one_by_one = [pairs.select(torch.tensor([index])) for index in range(200)]
    sums = [measure_loss(model, pair) * int(pair.targets.lengths[0]) for pair in one_by_one]
    assert measure_loss(model, pairs) == pytest.approx(sum(sums) / int(pairs.targets.lengths.sum()), rel=1e-5)


def test_texts_are_translated_in_their_order_whatever_the_groups_are(monkeypatch):
    model, texts = new_model(), some_texts(50, 3, 30)
    expected = in_groups.translate(model, texts, 3)
    assert model.training
    monkeypatch.setattr(in_groups, "SYMBOLS", 20)
    groups = list(in_groups.split_by_length(texts.lengths))
    assert max(len(group) * int(texts.lengths[group].max()) for group in groups) <= 20
    found = in_groups.translate(model, texts, 3)
    assert [each.symbols for each in found] == [each.symbols for each in expected]
    assert [each.symbols for each in in_groups.translate(model, texts.select(torch.tensor([7])), 3)] == [
        found[7].symbols
    ]


# ---- measurements ---------------------------------------------------------------------------------------------------


def test_all_references_of_a_source_count():
    texts, sources = ["le chien voit le chat", "un chat noir et rouge"], ["the dog sees the cat", "a red and black cat"]
    numbers, signatures = score(texts, sources, [["un chien voit un chat", texts[0]], [texts[1]]])
    assert (numbers["chrf"], numbers["bleu"]) == pytest.approx((100, 100))
    assert numbers["copy_chrf"] < 20
    one, _ = score(texts, sources, [["un chien voit un chat"], [texts[1]]])
    assert one["chrf"] < 100
    assert re.fullmatch(r"chrF by sacrebleu: nrefs:var\|case:mixed\|.*\|version:\S+", signatures[0])
    assert signatures[1].startswith("BLEU by sacrebleu: nrefs:var|case:mixed|eff:no|tok:13a|")


def test_each_source_is_translated_once():
    subwords = Subwords.learn(["a b c d e"], 300)
    sources, targets = ("a", "b", "a", "c", "d"), ("x", "y", "z", "u", "v")
    texts = SymbolTexts.join(*subwords.encode(sources), CPU)
    held_out = HeldOut(SymbolPairs(texts, texts), sources, targets, subwords, width=2)
    assert held_out.group_by_source() == ([0, 1, 3, 4], [["x", "z"], ["y"], ["u"], ["v"]])
    few = HeldOut(SymbolPairs(texts, texts), sources, targets, subwords, width=2, most=2)
    assert few.group_by_source() == ([0, 3], [["x", "z"], ["u"]])
    model = new_model(len(subwords))
    whole, part = evaluate(model, held_out), evaluate(model, few)
    assert (whole.count, whole.more["translated"], part.count, part.more["translated"]) == (5, 4, 5, 2)
    assert whole.loss == part.loss == measure_loss(model, held_out.pairs)
    assert evaluate(model, held_out, sample=3).count == 3
    assert "chrf" not in evaluate(model, held_out, sample=9).more


def test_attention_is_drawn_of_three_texts_of_different_lengths():
    assert choose(torch.tensor([3])) == [0]
    assert choose(torch.tensor([3, 5])) == [0, 1]
    lengths = torch.tensor([90, *range(30), 80])
    chosen = lengths[choose(lengths)].tolist()
    assert len(chosen) == len(set(chosen)) == 3
    assert max(chosen) <= LONGEST
    subwords = Subwords.learn(["what is $5 and $6?"], 300)
    sources = ("$5", "$5 and $6", "\u4f60")
    texts = SymbolTexts.join(*subwords.encode(sources), CPU)
    held_out = HeldOut(SymbolPairs(texts, texts), sources, sources, subwords, width=1)
    found = measure_attention(new_model(len(subwords)), held_out)
    for each in found:
        assert each.weights.shape == (len(each.target), len(each.source))
        assert each.weights.sum(1) == pytest.approx(1, abs=1e-5)
    assert draw_attention(found).startswith(b"\x89PNG")


# ---- runs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    return write_pairs(tmp_path)


@pytest.mark.slow
def test_a_run_learns_to_translate_sentences_that_it_never_saw(tmp_path, capsys):
    """Word by word, backwards; the narrow blank before the question mark comes back."""
    file = write_pairs(tmp_path, count=1500)
    out = tmp_path / "out"
    options = ["--hidden", "64", "--embedding", "32", "--vocabulary", "300", "--steps", "400", "--dropout", "0"]
    assert run(["train", "translate", str(file), "--out", str(out), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.search(r"chrF \d+\.\d  BLEU \d+\.\d  \(\d+ sources translated; copying them: chrF \d", lines[-2])
    assert lines[-1].endswith("last.safetensors, best.safetensors, loss.png, attention.png, run.json")
    for name in ("loss.png", "attention.png"):
        assert struct.unpack(">8s8xII", (out / name).read_bytes()[:24])[0] == b"\x89PNG\r\n\x1a\n"
    valid = json.loads((out / "run.json").read_text())["result"]["valid"]
    assert valid.keys() == {"loss", "chrf", "copy_chrf", "bleu", "copy_bleu", "translated", "pairs"}
    assert valid["chrf"] > 90 > 50 > valid["copy_chrf"]
    (tmp_path / "new.txt").write_text("The big dog eats?\n\nRed apple sees the cat?\tno\n")
    assert run(["predict", str(out), str(tmp_path / "new.txt")]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["source"] for row in rows] == ["The big dog eats?", "", "Red apple sees the cat?"]
    assert rows[0]["translation"] == "mange chien grand le\u202f?"
    assert rows[2]["translation"] == "chat le voit pomme rouge\u202f?"
    assert (rows[1]["translation"], rows[1]["score"]) == ("", "")
    assert -0.5 < float(rows[0]["score"]) < 0


@pytest.mark.slow
def test_eval_and_predict_take_a_beam(file, tmp_path, capsys):
    out = tmp_path / "out"
    train(file, out, steps=150, hidden=64, embedding=32, batch=32, dropout=0.0)
    assert load(out, ALL).options.beam == 2
    other = write_pairs(tmp_path, "other.tsv", seed=2, count=30)
    tables = []
    for beam in ("1", "2", "7"):
        assert run(["predict", str(out), str(other), "--beam", beam, "--json"]) == 0
        tables.append(json.loads(capsys.readouterr().out))
    assert run(["predict", str(out), str(other), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == tables[1] != tables[0]
    assert np.mean([row["score"] for row in tables[2]]) > np.mean([row["score"] for row in tables[0]])
    assert run(["eval", str(out), str(other), "--beam", "1", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    references: dict[str, list[str]] = {}
    for line in other.read_text().splitlines():
        source, target = line.split("\t")
        references.setdefault(source, []).append(target)
    by_source = {row["source"]: row["translation"] for row in tables[0]}
    expected, _ = score([by_source[source] for source in references], list(references), list(references.values()))
    assert numbers["chrf"] == pytest.approx(expected["chrf"])
    assert (numbers["pairs"], numbers["translated"]) == (30, len(references))
    for command in ("eval", "predict"):
        assert run([command, str(out), str(other), "--beam", "0"]) == 2
        assert "--beam 0 is not allowed: it must be from 1 to 1,000" in capsys.readouterr().err


@pytest.mark.slow
def test_other_tasks_have_no_beam(tmp_path, capsys):
    train_text(write_text(tmp_path), tmp_path / "out")
    for command in ("eval", "predict"):
        assert run([command, str(tmp_path / "out"), str(tmp_path / "text.txt"), "--beam", "2"]) == 2
        assert "--beam is for translation: models of the task text have no beam search" in capsys.readouterr().err


@pytest.mark.slow
def test_what_was_trained_on_is_said(file, tmp_path, capsys):
    out = tmp_path / "out"
    assert train(file, out)["notes"] == []
    assert run(["eval", str(out), str(file), "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert re.search(
        r"pairs.tsv: \d+ of its \d+ different sources were trained on; the scores flatter the model", notes[0]
    )
    assert notes[1].startswith("chrF by sacrebleu: nrefs:")
    result = train(file, tmp_path / "again", valid=str(file))
    assert "different sources were trained on" in result["notes"][0]
    new = tmp_path / "new.tsv"
    new.write_text("zebra\tz\u00e8bre\n")
    assert run(["eval", str(out), str(new), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["notes"]) == 2


@pytest.mark.slow
def test_the_other_direction(file, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["train", "translate", str(file), "--out", str(out), *SMALL, "--columns", "2", "1"]
    assert run(command) == 0
    capsys.readouterr()
    assert run(["predict", str(out), str(file), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["source"] for row in rows] == [line.split("\t")[1] for line in file.read_text().splitlines()]
    assert run([*command[:-2], "1", "2", "--resume"]) == 2
    assert "--columns (1, 2) does not fit" in capsys.readouterr().err


@pytest.mark.slow
def test_files_as_people_have_them(tmp_path, capsys):
    """A byte order mark, CRLF, another encoding, further columns, empty sides and lines, several files."""
    text = pairs_text().replace("\u202f", " ")
    (tmp_path / "a.tsv").write_bytes(("\ufeff" + text.replace("\n", "\tCC-BY\r\n")).encode("utf-16-le"))
    (tmp_path / "b.tsv").write_bytes("caf\u00e9\t\nth\u00e9\ttea\n\n".encode("utf-16-le"))
    files = (str(tmp_path / "a.tsv"), str(tmp_path / "b.tsv"))
    options = TranslateOptions(files=files, encoding="utf-16-le", **SIZES)
    notes = train_task(TASK, options, tmp_path / "out", quiet=True)["notes"]
    assert notes == [
        "the 2 files: left out 120 lines with other columns, which are not read",
        "the 2 files: left out 1 pairs with an empty side",
        "the 2 files: left out 1 empty lines",
    ]
    assert run(["predict", str(tmp_path / "out"), files[0], "--encoding", "utf-16-le", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 120


@pytest.mark.slow
def test_long_pairs_do_not_train_and_are_counted(tmp_path):
    (tmp_path / "a.tsv").write_text(pairs_text() + "dog " * 200 + "\tchien\n")
    result = train(tmp_path / "a.tsv", tmp_path / "out", valid_fraction=0.0)
    assert result["notes"] == [f"{tmp_path}/a.tsv: left out 1 pairs with a side of over 100 subwords (--longest)"]
    assert result["valid"] is None
    assert "attention.png" not in result["files"]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a\tb\nc\td\n", "a\tb\n" * 9 + "c\td\n", "x\ty\n" + "\U0001f600\t\u4f60\n"])
def test_a_few_short_pairs_train(text, tmp_path):
    (tmp_path / "a.tsv").write_text(text)
    assert train(tmp_path / "a.tsv", tmp_path / "out", valid_fraction=0.5)["step"] == 12


OTHER = {  # another value for every option, and what else it takes for the option to matter
    "columns": ((2, 1), {}),
    "valid_fraction": (0.3, {}),
    "longest": (12, {}),
    "vocabulary": (310, {}),
    "cell": ("gru", {}),
    "hidden": (14, {}),
    "embedding": (9, {}),
    "layers": (2, {}),
    "dropout": (0.4, {}),
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
ELSEWHERE = {
    *BUDGETS,
    "files",
    "encoding",
    "valid",
    "beam",
    "patience",
    "device",
    "save_every",
}  # have tests of their own


def test_every_option_has_a_test():
    assert {*OTHER, *ELSEWHERE} == set(TranslateOptions.describe())


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run with the small options."""
    folder = tmp_path_factory.mktemp("plain")
    train(write_pairs(folder), folder / "out")
    return folder / "out"


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER)
def test_every_option_changes_the_weights(name, file, plain, tmp_path):
    value, others = OTHER[name]
    outs = (tmp_path / "one" if others else plain), tmp_path / "other"
    for out, options in zip(outs, (others, {**others, name: value}), strict=True):
        if out != plain:
            train(file, out, **options)
    one, other = (checkpoint.read(out / "last.safetensors", "")[1] for out in outs)
    assert any(
        name not in other or one[name].shape != other[name].shape or not torch.equal(one[name], other[name])
        for name in one
        if name.startswith("model.")
    )


BAD = {
    "no tab": ("a\tb\nc d\n", [], "a.tsv line 2 has no tab, and needs 2 columns: 'c d'; complete it"),
    "one source": ("a\tb\nA!\tc\n", [], "1 different sources cannot be split"),
    "empty sides": ("a\t\n\tb\n", [], "a.tsv has no pair"),
    "columns": ("a\tb\n", ["--columns", "1", "3"], "line 1 has 2 columns, and needs 3 columns"),
    "same column": ("a\tb\n", ["--columns", "1", "1"], "columns 1 and 1 are not allowed"),
    "one column": ("a\tb\n", ["--columns", "2"], "--columns"),
    "odd": ("a\tb\n", ["--hidden", "7"], "--hidden 7 is not allowed: it must be even"),
    "vocabulary": ("a\tb\n", ["--vocabulary", "10"], "--vocabulary 10 is not allowed: it must be at least 300"),
    "characters": (
        "\n".join(f"{chr(0x4E00 + k)}\t{chr(0x5E00 + k)}" for k in range(300)),
        ["--vocabulary", "400"],
        "--vocabulary 400 is too small for the different characters",
    ),
    "longest": ("a b c\tb\nd e f\tc\n", ["--longest", "1"], "no pair has at most 1 subwords on each side"),
    "typo": ("a\tb\n", ["--beem", "2"], "--beem"),
    "valid": ("a\tb\n", ["--valid", "{tmp}/c.tsv"], "c.tsv does not exist"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_one_line(case, tmp_path, capsys):
    text, options, message = BAD[case]
    (tmp_path / "a.tsv").write_text(text)
    options = [option.format(tmp=tmp_path) for option in options]
    assert run(["train", "translate", str(tmp_path / "a.tsv"), "--out", str(tmp_path / "out"), *options]) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert re.fullmatch(rf"carrousel: [^\n]*{message}[^\n]*\n", stderr), stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_bad_texts_to_translate_are_one_line(file, tmp_path, capsys):
    train(file, tmp_path / "out", columns=(2, 1))
    for text, message in (("\n \n", "new.txt has no text"), ("a\tb\n", None)):
        (tmp_path / "new.txt").write_text(text)
        assert run(["predict", str(tmp_path / "out"), str(tmp_path / "new.txt")]) == (2 if message else 0)
        assert (message or "") in capsys.readouterr().err
    train(file, tmp_path / "third", columns=(1, 2))
    assert run(["predict", str(tmp_path / "third"), str(tmp_path / "none.txt")]) == 2


def test_a_missing_library_is_named_before_anything_is_read(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics", None)
    (tmp_path / "a.tsv").write_text("a\tb\nc\td\n")
    assert run(["train", "translate", str(tmp_path / "a.tsv"), "--out", str(tmp_path / "out")]) == 2
    assert re.search(
        r"the score of translations needs sacrebleu, .*pip install 'carrousel\[tasks\]'", capsys.readouterr().err
    )


@needs(TATOEBA)
@pytest.mark.slow
def test_tatoeba_trains(tmp_path):
    """40 steps of a small network on all pairs: far from good, and better than copying words by chance."""
    result = train(TATOEBA, tmp_path, vocabulary=1000, hidden=64, embedding=32, batch=32, steps=40, beam=1)
    assert result["valid"]["pairs"] > 8000
    assert result["valid"]["translated"] == 2000
    assert result["valid"]["loss"] < np.log(1000)
