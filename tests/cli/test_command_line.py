"""What all commands have in common: the version, values that are told, a stdout that is full, closed or gone."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest
from runs import ENVIRONMENT, PROGRAM

import carrousel
from carrousel import tasks
from carrousel.cli import program, run
from carrousel.papers.lstm1997.experiments import ALL
from carrousel.results import screen

pytestmark = pytest.mark.slow

BUFFERED = {**ENVIRONMENT, "PYTHONUNBUFFERED": ""}  # as in a user's shell: what is printed fails late


def test_the_version_is_told(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"carrousel {carrousel.__version__}\n"


def test_help_shows_signs_that_markdown_would_swallow(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["train", "words", "--help"]) == 0
    assert capsys.readouterr().out.count("<unk>") == 3
    for task in tasks.ALL.values():
        for name, about in task.options.describe().items():
            assert "<" not in re.sub("`[^`]*`", "", about.help), (task.name, name)


def test_commands_stand_in_the_order_of_work(capsys):
    assert run(["--help"]) == 0
    printed = capsys.readouterr().out
    places = [printed.index(f"│ {name} ") for name in program.COMMANDS]
    assert places == sorted(places)


HELP = [
    "",
    "train",
    *(f"train {name}" for name in tasks.ALL),
    "predict",
    "sample",
    "eval",
    "reproduce",
    "bench",
    "bench layers",
    "bench streaming",
    "bench text",
]


@pytest.mark.parametrize("command", HELP)
def test_help_ends_with_two_examples(command, capsys):
    assert run([*command.split(), "--help"]) == 0
    _, _, examples = capsys.readouterr().out.partition("Examples:")
    assert examples.count(f"• carrousel {command}".rstrip()) == 2


@pytest.mark.parametrize("arguments", [["train"], ["bench"]])
def test_a_group_alone_tells_its_commands(arguments, capsys):
    assert run(arguments) == 2
    told = capsys.readouterr()
    assert "Commands" in told.out
    assert told.err == ""


@pytest.mark.parametrize(
    ("typed", "option", "value"),
    [
        ("reproduce adding --trials 0", "--trials", "0"),
        ("reproduce adding --trials 3 --trials=many", "--trials", "many"),
        ("reproduce adding --trials 99999999999999999999", "--trials", "99999999999999999999"),  # was run out of memory
        ("reproduce adding --seed -1", "--seed", "-1"),
        ("train text x --out y --hidden 1.5", "--hidden", "1.5"),
        ("bench layers --repeat 0", "--repeat", "0"),
        ("bench layers --shapes I4-H8-B1-T10 --threads 99999999999999999999", "--threads", "99999999999999999999"),
        ("bench layers --shapes I4-H8-B1-T10 --threads 100000", "--threads", "100000"),  # OpenMP had ended the process
    ],
)
def test_a_bad_value_is_told_with_its_option(typed, option, value, capsys):
    assert run(typed.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert option in line
    assert value in line.partition(option)[2]


COMMANDS = [["--version"], ["reproduce", "--list", "--json", "-"]]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_full_stdout_is_told_in_a_line(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, env=BUFFERED)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("carrousel: stdout cannot be written: No space left on device")


def test_a_reader_that_has_gone_is_no_error():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*PROGRAM, "reproduce", "--list"], stdout=write, stderr=subprocess.PIPE, env=BUFFERED)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_closed_stdout_is_no_error():
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, "reproduce", "--list"]
    done = subprocess.run(closed, stderr=subprocess.PIPE, env=BUFFERED)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("descriptor", ["2>/dev/full", "2>&-"])
def test_an_error_that_cannot_be_told_keeps_its_exit_code(descriptor):
    """On a full stderr it was a second error; on a closed one, words on stdout."""
    command = ["sh", "-c", f'exec "$@" {descriptor}', "sh", *PROGRAM, "reproduce", "nothing"]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=BUFFERED)
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize(
    "typed",
    ["train text {long} --out out", "train text x --out {long}", "sample {long}", "eval {long} x", "bench text {long}"],
)
def test_a_name_that_no_file_can_have_is_told_in_a_line(typed, capsys):
    assert run(typed.format(long="a" * 300).split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "File name too long" in line


@pytest.mark.parametrize(("columns", "width"), [(40, 80), (100, 100)])
def test_a_narrow_terminal_cuts_no_figure(columns, width, monkeypatch):
    """Tables are made for 80 columns: in fewer, names of rows had vanished, and figures had ended in dots."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    assert screen(120).width == width
    monkeypatch.setattr("sys.stdout", None)
    assert screen(120).width == 120


def test_a_list_is_of_what_is_named(capsys):
    assert run(["reproduce", "adding", "--list"]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("4-1", "4-2*", "4-3*", "linear-output: The output unit is linear"))
    assert not any(name in told for name in ALL if name != "adding")
    assert run(["reproduce", "--row", "6a", "--list", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["row"] for row in rows} == {"6a"}
    assert {"literal", "steep"} <= {row["reading"] for row in rows}
    assert run(["reproduce", "--list", "addding"]) == 2
    assert "did you mean adding?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "meant"), [("trian", "train"), ("train clasify x", "classify"), ("bench layer", "layers")]
)
def test_a_name_that_was_meant_is_named(typed, meant, capsys):
    assert run(typed.split()) == 2
    assert capsys.readouterr().err.endswith(f"Did you mean '{meant}'?\n")
