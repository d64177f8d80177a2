"""What is printed where the terminal's encoding has no such character: an escape, and never a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import ENVIRONMENT, PROGRAM, SMALL, train

from carrousel import results
from carrousel.cli import run

pytestmark = pytest.mark.slow

TEXT = "a snake \U0001f40d is 中 and é\n" * 99
LOCALES = {
    "latin-1": ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
    "strict": ({"PYTHONIOENCODING": "utf-8:strict"}, "utf-8"),
    "the C locale": ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "ascii"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that knows an emoji, in a folder with another in its name."""
    folder = tmp_path_factory.mktemp("encodings")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    train(folder / "text.txt", folder / "é\U0001f40d")
    return folder / "é\U0001f40d"


def done(locale: str, *arguments) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command in such a locale."""
    environment, encoding = LOCALES[locale]
    ran = subprocess.run([*PROGRAM, *map(str, arguments)], env={**ENVIRONMENT, **environment}, capture_output=True)
    return ran.returncode, *(stream.decode(encoding, "backslashreplace") for stream in (ran.stdout, ran.stderr))


@pytest.mark.parametrize("locale", LOCALES)
def test_samples_and_summaries_are_printed(locale, model, tmp_path):
    code, stdout, stderr = done(locale, "sample", model, "--length", "300", "--temperature", "9")
    assert (code, stderr) == (0, "")
    assert ("\U0001f40d" if locale == "strict" else "\\U0001f40d") in stdout
    assert ("é" if locale in ("strict", "latin-1") else "\\xe9") in stdout
    out = tmp_path / "\U0001f40d"
    code, stdout, stderr = done(locale, "train", "text", model.parent / "text.txt", "--out", out, *SMALL)
    assert (code, stderr) == (0, "")
    name = {"strict": "\U0001f40d", "the C locale": "\\xf0\\x9f\\x90\\x8d"}.get(locale, "\\U0001f40d")  # as on disk
    assert f"/{name}: last.safetensors, " in stdout


COMMANDS = {
    "eval": "eval {model} {text}",
    "eval as JSON": "eval {model} {text} --json",
    "sample as JSON": "sample {model} --json",
    "a missing file": "eval {model} é.txt",
    "an unknown character": "sample {model} --prompt ß",
    "an unknown experiment": "reproduce é",
    "a list": "reproduce --list",
    "a table": "bench layers --shapes I4-H8-B1-T10 --seconds 0.01 --json é.json",
    "an unknown option": "train text é --é",
    "help": "train text --help",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_print_what_they_have_to_say(name, model, tmp_path, monkeypatch):
    """In this process, with streams that know ASCII only."""
    streams = {name: io.TextIOWrapper(io.BytesIO(), "ascii") for name in ("stdout", "stderr")}
    for stream in streams:
        monkeypatch.setattr(sys, stream, streams[stream])
    monkeypatch.chdir(tmp_path)
    results.escape_what_cannot_be_encoded()
    code = run(COMMANDS[name].format(model=model, text=model.parent / "text.txt").split())
    stdout, stderr = (stream.buffer.getvalue().decode("ascii") for stream in streams.values())
    assert code == (2 if name.startswith(("a missing", "an unknown")) else 0), stderr
    assert stdout if code == 0 else stderr.count("\n") == 1
    if name.endswith("as JSON"):
        json.loads(stdout)


def test_what_goes_on_is_the_name_on_disk(model, tmp_path):
    """A name that is not of the encoding is printed byte by byte, so that the command can be pasted."""
    out = os.fsencode(tmp_path) + b"/\xff\xfe"
    command = [*PROGRAM, "train", "text", model.parent / "text.txt", "--out", out, *SMALL]
    ran = subprocess.run(list(map(os.fsencode, command)), env=ENVIRONMENT, capture_output=True)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert out + b": last.safetensors, " in ran.stdout
    assert "out" in json.loads(Path(os.fsdecode(out), "run.json").read_text())["result"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "utf-16-le", "cp1252", "cp037", "shift_jis"])
@pytest.mark.parametrize("errors", ["strict", "surrogateescape", "backslashreplace", "replace"])
def test_every_stream_prints_every_character(encoding, errors, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, errors)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    results.escape_what_cannot_be_encoded()
    print("aé中\U0001f40d\udcff" if "16" not in encoding else "aé中\U0001f40d", flush=True)
    if errors == "replace":
        assert stream.errors == "replace", "whoever asks for another treatment gets it"
