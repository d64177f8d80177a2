"""`carrousel train classify` on every kind of file that holds the same sequences."""

from __future__ import annotations

import csv
import random
import wave

import numpy as np
import pytest
from labelled import sequence, ts_line

from carrousel.cli import run
from carrousel.data.read_sequences import read_sequences

LABELS = ("fast", "slow")
SMALL = "--steps 60 --hidden 16 --batch 16"


def make(seed, count=40):
    """Labels, and sequences [F][T]."""
    draw = random.Random(seed)
    labels = [LABELS[index % 2] for index in range(count)]
    return [(label, sequence(label, draw.randint(2, 9), draw)) for label in labels]


def write_ts(folder, made):
    path = folder / "data.ts"
    lines = [ts_line(channels, label) for label, channels in made]
    path.write_text("\n".join(["@classLabel true", "@data", *lines, ""]))
    return path, ""


def write_csv(folder, made):
    path = folder / "data.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["run", "step", "a", "b", "state"])
        for number, (label, channels) in enumerate(made):
            for step in reversed(range(len(channels[0]))):  # unsorted
                rows.writerow([f"r{number}", step, channels[0][step], channels[1][step], label])
    return path, "--id run --time step --label state"


def write_parquet(folder, made):
    pyarrow = pytest.importorskip("pyarrow", exc_type=ImportError)
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"run": [], "a": [], "b": [], "state": []}
    for number, (label, channels) in enumerate(made):
        for a, b in zip(*channels):
            for column, value in zip(columns, (number, a, b, label)):
                columns[column].append(value)
    path = folder / "data.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    return path, "--id run --label state"


def write_npz(folder, made):
    path = folder / "data.npz"
    x = np.concatenate([np.array(channels, np.float32).T for _, channels in made])
    lengths = np.array([len(channels[0]) for _, channels in made])
    np.savez(path, x=x, lengths=lengths, y=np.array([label for label, _ in made]))
    return path, ""


def write_wav(folder, made):
    """A tone of 0.1 s for each sequence, high or low."""
    for number, (label, _) in enumerate(made):
        into = folder / "sounds" / label
        into.mkdir(parents=True, exist_ok=True)
        t = np.arange(1600 + 10 * number) / 16000
        tone = 0.3 * np.sin(2 * np.pi * (3000 if label == "fast" else 300) * t)
        with wave.open(str(into / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes((tone * 32767).astype("<i2").tobytes())
    return folder / "sounds", ""


KINDS = {"ts": write_ts, "csv": write_csv, "parquet": write_parquet, "npz": write_npz, "wav": write_wav}
NEEDS = {"csv": "pyarrow", "parquet": "pyarrow", "wav": "soundfile"}


@pytest.mark.parametrize("kind", KINDS)
def test_train_eval_predict(kind, tmp_path, capsys):
    if kind in NEEDS:
        pytest.importorskip(NEEDS[kind])
    made = make(1)
    path, options = KINDS[kind](tmp_path, made)
    out = tmp_path / "run"
    assert run(f"train classify {path} --out {out} {SMALL} {options}".split()) == 0
    assert run(f"predict {out} {path} --out {tmp_path / 'predicted.csv'}".split()) == 0
    rows = list(csv.DictReader((tmp_path / "predicted.csv").read_text().splitlines()))
    expected = [label for label, _ in made]
    if kind == "wav":  # in the order of the files' names
        expected = [row["name"].split("/")[0] for row in rows]
    right = sum(row["predicted"] == label for row, label in zip(rows, expected, strict=True))
    assert right >= 36
    capsys.readouterr()
    assert run(f"eval {out} {path}".split()) == 0
    assert "40 sequences" in capsys.readouterr().out


def test_a_table_without_labels_is_predicted(tmp_path):
    pytest.importorskip("pyarrow")
    path, options = write_csv(tmp_path, make(1))
    assert run(f"train classify {path} --out {tmp_path / 'run'} {SMALL} {options}".split()) == 0
    rows = list(csv.reader(path.read_text().splitlines()))
    bare = tmp_path / "bare.csv"
    bare.write_text("\n".join(",".join(row[:-1]) for row in rows))
    for file in (path, bare):
        assert run(f"predict {tmp_path / 'run'} {file} --out {file}.out".split()) == 0
    assert (tmp_path / "bare.csv.out").read_text() == (tmp_path / "data.csv.out").read_text()


@pytest.mark.parametrize(
    ("write", "options", "words"),
    [
        (write_csv, "", "is a table, and nothing says which rows are a sequence: name the column with --id"),
        (write_csv, "--id run --label class", "class"),
        (write_csv, "--id run", "has no labels"),
        (write_ts, "--id run", "--id run does not fit"),
        (write_npz, "--label-from ^(.)", "--label-from ^(.) does not fit"),
    ],
)
def test_options_that_do_not_fit_the_file(write, options, words, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    made = make(1)
    path, _ = write(tmp_path, made)
    if options == "--id run" and write is write_csv:  # without its column of labels
        rows = list(csv.reader(path.read_text().splitlines()))
        path.write_text("\n".join(",".join(row[:-1]) for row in rows))
    assert run(f"train classify {path} --out {tmp_path / 'run'} {SMALL} {options}".split()) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_what_no_reader_knows_names_those_that_there_are(tmp_path, capsys):
    path = tmp_path / "data.xlsx"
    path.write_bytes(b"PK")
    assert run(f"train classify {path} --out {tmp_path / 'run'}".split()) == 2
    assert ".ts, .csv, .tsv, .parquet, .npz" in capsys.readouterr().err


def test_tables_and_series_of_one_channel_are_the_same(tmp_path):
    pytest.importorskip("pyarrow")
    made = make(3, 6)
    by_kind = {}
    for kind in ("ts", "csv", "npz"):
        path, options = KINDS[kind](tmp_path, made)
        words = options.replace("--", "").split()
        by_kind[kind] = read_sequences(path, **dict(zip(words[::2], words[1::2])))
    for other in ("csv", "npz"):
        np.testing.assert_array_equal(by_kind[other].values, by_kind["ts"].values)
        np.testing.assert_array_equal(by_kind[other].lengths, by_kind["ts"].lengths)
        assert by_kind[other].labels == by_kind["ts"].labels
