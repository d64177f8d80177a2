"""`carrousel train words`: what a word costs, what it is compared with, what is written."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
import torch
from data_files import error_of
from every_task import train as train_task
from runs import sentences
from torch.nn.functional import cross_entropy

from carrousel import checkpoint
from carrousel.cli import run
from carrousel.data.words import WordVocabulary
from carrousel.errors import UserError
from carrousel.tasks.language_model.baselines import Bigrams, Unigrams
from carrousel.tasks.language_model.evaluate import PIECES, SHORTEST
from carrousel.tasks.language_model.held_out import HeldOutText
from carrousel.tasks.language_model.improved import draw_improved
from carrousel.tasks.language_model.word_model import WordModel, WordModelOptions
from carrousel.tasks.language_model.word_scores import measure_words
from carrousel.tasks.words import EOS, TASK, WordOptions
from carrousel.training.options import BUDGETS
from carrousel.training.trained import Trained, load

WORDS = ("<unk>", "<eos>", "a", "b", "c")


def new_model(words=5, **options) -> WordModel:
    return WordModel(words, WordModelOptions(**{"hidden": 12, "layers": 2, "steps": 1, **options}).complete())


def train(file, out, **options):
    return train_task("words", file, out, **options)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "text.txt").write_text(sentences())
    return tmp_path / "text.txt"


# ---- the model ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("embedding", [None, 7])
def test_losses_are_those_of_the_logits(cell, embedding):
    model = new_model(cell=cell, embedding=embedding).eval()
    x, y = torch.randint(5, (2, 6, 3))
    logits, state = model(x)
    features, again = model.features(x)
    assert torch.allclose(model.losses(features, y), cross_entropy(logits.flatten(0, 1), y.flatten()), atol=1e-6)
    assert torch.allclose(model.losses(features, y, "none").mean(), model.losses(features, y), atol=1e-6)
    first, middle = model(x[:2])
    rest, end = model(x[2:], middle)
    assert torch.allclose(torch.cat([first, rest]), logits, atol=1e-6)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(end, state, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(state, again, strict=True))


def test_the_table_is_read_and_weighs_the_output():
    """One weight for both: its gradient is the sum of both places'."""
    model = new_model(dropout=0.0, word_dropout=0.0, weight_dropout=0.0)
    assert [name for name, _ in model.named_parameters()].count("table") == 1
    x, y = torch.randint(5, (2, 6, 3))
    features, _ = model.features(x)
    model.losses(features, y).backward()
    whole = model.table.grad.clone()
    parts = []
    for reads in (True, False):
        model.zero_grad()
        table = model.table
        features, _ = model.features(x)
        rows = features if reads else features.detach()
        weights = table.detach() if reads else table
        cross_entropy((rows @ weights.t() + model.bias).flatten(0, 1), y.flatten()).backward()
        parts.append(table.grad.clone())
    assert torch.allclose(whole, sum(parts), atol=1e-6)


@pytest.mark.parametrize("name", ["dropout", "word_dropout", "weight_dropout"])
def test_each_dropout_works_in_training_only(name):
    rates = {"dropout": 0.0, "word_dropout": 0.0, "weight_dropout": 0.0, name: 0.5}
    model = new_model(**rates)
    x = torch.arange(5).repeat(4)[:, None].expand(20, 3)
    one, other = model.features(x)[0], model.features(x)[0]
    assert not torch.allclose(one, other)
    model.eval()
    assert torch.equal(model.features(x)[0], model.features(x)[0])


def test_a_word_that_is_left_out_is_left_out_wherever_it_stands():
    torch.manual_seed(0)
    model = new_model(dropout=0.0, word_dropout=0.6, weight_dropout=0.0)
    seen = []
    model.recurrent.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.arange(5).repeat(4)[:, None].expand(20, 3)
    model.features(x)
    is_zero = (seen[0] == 0).all(-1)
    expected = is_zero[:5, :1].repeat(4, 3)
    assert torch.equal(is_zero, expected)
    assert 0 < int(expected[:5, 0].sum()) < 5


# ---- measured -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 700, 3 * SHORTEST + 5, PIECES * SHORTEST + 77])
@torch.no_grad()
def test_perplexities_with_and_without_ends_of_lines(length):
    model = new_model(cell="gru", hidden=4, layers=1).eval()
    codes = torch.randint(5, (length,), dtype=torch.int32)
    codes[-1] = 2
    numbers = TASK.numbers(TASK.measure(model, HeldOutText(codes, None)))
    logits, _ = model(codes[:-1, None].long())
    losses = cross_entropy(logits[:, 0], codes[1:].long(), reduction="none").double()
    assert numbers["words"] == length - 1
    assert numbers["perplexity"] == pytest.approx(losses.mean().exp().item(), rel=1e-5)
    is_word = codes[1:] != EOS
    assert numbers["perplexity_without_eos"] == pytest.approx(losses[is_word].mean().exp().item(), rel=1e-5)
    assert "unigram_perplexity" not in numbers


def test_counted_words_and_pairs_are_probabilities():
    draw = np.random.default_rng(0)
    codes = draw.zipf(1.5, 2000).clip(max=9).astype(np.int32) - 1
    codes[codes == 7] = 8  # a word that is never there
    unigrams, bigrams = Unigrams(codes, 9), Bigrams(codes, 9)
    assert unigrams.p.sum() == pytest.approx(1)
    assert unigrams.p[7] > 0
    for before in range(9):
        p = bigrams.p(np.full(9, before), np.arange(9))
        assert p.sum() == pytest.approx(1)
        assert (p > 0).all()


def test_counted_pairs_by_hand():
    """a b a b a c: of the pairs a b and b a are there twice, a c once, so that 1 / (1 + 2 * 2) is taken from each."""
    codes = np.array([2, 3, 2, 3, 2, 4])
    bigrams = Bigrams(codes, 5)
    assert bigrams.discount == pytest.approx(1 / 5)
    shorter = 1 / 5  # a, b and c each follow one other word: a discount of 1 takes all, and five words share it
    expected = (2 - 1 / 5) / 3 + 1 / 5 * 2 / 3 * shorter
    assert bigrams.p(np.array([2]), np.array([3]))[0] == pytest.approx(expected)


def test_a_model_is_measured_beside_counted_words(file, tmp_path, capsys):
    result = train(file, tmp_path / "out", steps=200, lr=0.02)
    valid = result["valid"]
    assert set(valid) >= {"unigram_perplexity", "bigram_perplexity", "unigram_perplexity_without_eos"}
    assert valid["bigram_perplexity"] < valid["unigram_perplexity"] < len(set(sentences().split())) + 2
    assert valid["perplexity"] == pytest.approx(math.exp(valid["nats_per_word"]))
    assert valid["perplexity"] < 0.9 * valid["unigram_perplexity"]
    assert (tmp_path / "out" / "words.png").read_bytes().startswith(b"\x89PNG")
    other = tmp_path / "other.txt"
    other.write_text(sentences(seed=2) + "zebra zebra gates\n")
    assert run(["eval", str(tmp_path / "out"), str(other)]) == 0
    stdout = capsys.readouterr().out
    assert re.search(r"2 of [\d,]+ words are <unk> to this model", stdout)
    assert re.search(r"perplexity [\d.]+  without <eos> [\d.]+  \(baselines, counted: words [\d.]+, pairs", stdout)
    file.write_text("another text\n" * 500)
    assert run(["eval", str(tmp_path / "out"), str(other), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "no baselines: the training text is not where it was, or has changed" in found["notes"]
    assert "bigram_perplexity" not in found


def test_the_picture_shows_any_word(tmp_path):
    """Signs that matplotlib would read as formulas, and long words."""
    words = ["<unk>", "<eos>", "$x$ {", "_^\\frac", "w" * 300]
    codes = torch.tensor([2, 3, 4] * 50 + [1], dtype=torch.int32)
    scores = measure_words(new_model(), HeldOutText(codes, codes.numpy()), EOS)
    scores.sums["bigram"][:] = scores.sums["model"] + scores.counts
    assert draw_improved(scores, words).startswith(b"\x89PNG")
    scores.sums["bigram"][:] = 0
    assert draw_improved(scores, words).startswith(b"\x89PNG")


# ---- written --------------------------------------------------------------------------------------------------------


def trained() -> Trained:
    torch.manual_seed(1)
    options = WordOptions(hidden=12, layers=2, steps=1, files=("x",)).complete()
    return Trained(TASK, WordModel(5, options).eval(), options, {"words": list(WORDS)}, step=0)


def sample(prompt, length=60, temperature=1.0, seed=0):
    return "".join(TASK.generate(trained(), prompt, length, temperature, seed))


def test_text_has_blanks_between_words_and_lines():
    text = sample("a b")
    assert "<unk>" not in text
    assert "<eos>" not in text
    assert re.fullmatch(r"( [abc]|\n[abc]?)*", text)
    assert len(text.replace("\n", " \n").split(" ")) - 1 == 60 or "\n" in text
    assert WordVocabulary(WORDS).decode([2, 1, 3]) == "a\nb"
    assert not re.search(r"\n ", text)


def test_no_prompt_is_the_end_of_a_line():
    assert sample("") == sample("\n")
    assert not sample("").startswith(" ")


def test_a_word_that_is_not_known_is_refused():
    with pytest.raises(UserError, match="the prompt has the word 'zebra', which the model does not know"):
        sample("a zebra")


def test_predict_says_what_to_do_instead(file, tmp_path, capsys):
    train(file, tmp_path / "out")
    assert run(["predict", str(tmp_path / "out"), str(file)]) == 2
    assert "use carrousel sample to continue a text" in capsys.readouterr().err
    assert run(["sample", str(tmp_path / "out"), "--prompt", "constant error", "--length", "5"]) == 0
    assert capsys.readouterr().out.startswith("constant error ")


# ---- options --------------------------------------------------------------------------------------------------------


def test_what_is_wrong_is_one_line(tmp_path):
    (tmp_path / "a.txt").write_text("a b " * 200)
    assert "1 word is left to validate on" in error_of(train, tmp_path / "a.txt", tmp_path / "1", valid_fraction=0.002)
    message = error_of(train, tmp_path / "a.txt", tmp_path / "2", batch=100)
    assert "the text has 360 words to train on, and a step needs more than 800" in message
    assert "--cell rnn is not one of lstm, gru" in error_of(train, tmp_path / "a.txt", tmp_path / "3", cell="rnn")


def test_notes_say_what_is_not_known(tmp_path):
    (tmp_path / "a.txt").write_text("a b " * 200 + "once " + "new " * 9)
    notes = train(tmp_path / "a.txt", tmp_path / "out", valid_fraction=9.5 / 411, min_count=2)["notes"]
    assert notes == [
        "4 different words are known, by the text to train on",
        "words to train on that are replaced by <unk>: 1 of 401 (0.2%)",
        "words to validate on that are replaced by <unk>: 9 of 10 (90.0%)",
    ]


OTHER = {  # another value for every option, and what else it takes for the option to matter
    "encoding": ("latin-1", {}),
    "valid_fraction": (0.3, {}),
    "vocabulary": (5, {}),
    "min_count": (5, {}),
    "cell": ("gru", {}),
    "hidden": (9, {}),
    "embedding": (9, {}),
    "layers": (1, {}),
    "dropout": (0.2, {}),
    "word_dropout": (0.2, {}),
    "weight_dropout": (0.5, {}),
    "batch": (5, {}),
    "length": (5, {}),
    "optimizer": ("adam", {"weight_decay": 0.5}),
    "lr": (0.01, {}),
    "weight_decay": (0.5, {}),
    "schedule": ("linear", {}),
    "clip": (0.01, {"optimizer": "sgd"}),
    "steps": (13, {}),
    "seed": (2, {}),
}
ELSEWHERE = {*BUDGETS, "files", "valid", "patience", "device", "save_every"}  # have tests of their own


def test_every_option_has_a_test():
    assert {*OTHER, *ELSEWHERE} == set(WordOptions.describe())


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER)
def test_every_option_changes_the_weights(name, tmp_path):
    value, others = OTHER[name]
    (tmp_path / "a.txt").write_text("caf\u00e9 caf\u00e9 rare rare\n" + sentences())
    outs = tmp_path / "one", tmp_path / "other"
    for out, options in zip(outs, (others, {**others, name: value}), strict=True):
        train(tmp_path / "a.txt", out, **options)
    facts, (one, other) = zip(*(checkpoint.read(out / "last.safetensors", "") for out in outs), strict=True)
    assert facts[0]["data"] != facts[1]["data"] or any(
        name not in other or one[name].shape != other[name].shape or not torch.equal(one[name], other[name])
        for name in one
        if name.startswith("model.")
    )


def test_a_model_is_read_again(file, tmp_path):
    train(file, tmp_path / "out", embedding=8)
    again = load(tmp_path / "out", {"words": TASK})
    assert again.facts["words"][:2] == ["<unk>", "<eos>"]
    assert again.model.table.shape == (len(again.facts["words"]), 8)
