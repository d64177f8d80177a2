"""The command line in processes of its own: signals, pipes, terminals, exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time

import pytest
from runs import ENVIRONMENT, PROGRAM, SMALL, carrousel_process, sentences, step_of, train, wait_for_start, write_text

from carrousel import checkpoint
from carrousel.cli import run

pytestmark = pytest.mark.slow

LONG = ["--hidden", "12", "--batch", "4", "--length", "8", "--layers", "2", "--dropout", "0.3", "--steps", "1000"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def model(text):
    """The folder of a short run."""
    train(text, text.parent / "model", steps=30)
    return text.parent / "model"


# ---- signals --------------------------------------------------------------------------------------------------------


def test_a_terminal_that_is_closed_ends_a_run_with_all_saved(text, tmp_path):
    """What is left of it are errors on each write, and SIGHUP."""
    ours, theirs = pty.openpty()
    out = tmp_path / "out"
    arguments = ["train", "text", text, "--out", out, *SMALL, "--steps", "1000000"]
    process = carrousel_process(*arguments, stderr=theirs)
    os.close(theirs)
    wait_for_start(out, process)
    before = step_of(out)
    os.close(ours)
    time.sleep(0.5)  # some of the bar is written to nowhere meanwhile
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGHUP
    assert step_of(out) > before


def test_nohup_stays_what_it_is(text, tmp_path):
    ignored = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    arguments = ["train", "text", text, "--out", tmp_path / "out", *LONG]
    process = carrousel_process(*arguments, preexec_fn=ignored)
    wait_for_start(tmp_path / "out", process)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_reader_that_goes_away(model):
    process = carrousel_process("sample", model, "--length", "100000000")
    assert len(process.stdout.read(100)) == 100, "the text comes while it is written"
    process.stdout.close()
    assert process.wait(timeout=30) == 128 + signal.SIGPIPE
    assert process.stderr.read() == ""
    process.stderr.close()


# ---- what is shown --------------------------------------------------------------------------------------------------


def test_a_terminal_sees_a_bar(text, tmp_path):
    arguments = [
        *PROGRAM,
        "train",
        "text",
        str(text),
        *SMALL,
        "--steps",
        "300",
        "--json",
        "--out",
        str(tmp_path / "out"),
    ]
    ours, theirs = pty.openpty()
    shown = subprocess.run(arguments, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    screen = os.read(ours, 10**6).decode()
    os.close(ours)
    assert "characters/s" in screen
    assert "perplexity" in screen
    result = json.loads(shown.stdout)
    assert (shown.returncode, result["ended"], result["step"]) == (0, "finished", 300)
    assert result["valid"].keys() == {"nats_per_char", "bits_per_char", "perplexity", "characters"}


def test_people_are_told_the_result(text, tmp_path, capsys):
    assert run(["train", "text", str(text), "--out", str(tmp_path / "out"), *SMALL, "--steps", "200"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"0:0\d, 200 steps, 6,400 characters, [\d,]+ a second; [\d,]+ weights", lines[-4])
    assert re.match(r"training    \d\.\d{4} nats a character  \d\.\d{4} bits  perplexity \d", lines[-3])
    assert re.match(r"validation  \d\.\d{4} nats a character .* \(all 399 characters, weights of step \d+\)", lines[-2])
    assert lines[-1].endswith("last.safetensors, best.safetensors, loss.png, run.json")


def test_eval_repeats_the_final_validation(model, text, tmp_path, capsys):
    (tmp_path / "valid.txt").write_text(text.read_text()[3600:])
    assert run(["eval", str(model), str(tmp_path / "valid.txt"), "--json"]) == 0
    score = json.loads(capsys.readouterr().out)
    assert score == json.loads((model / "run.json").read_text())["result"]["valid"]
    assert run(["eval", str(model), str(tmp_path / "valid.txt")]) == 0
    assert f"{score['nats_per_char']:.4f} nats a character" in capsys.readouterr().out


def test_sample_writes_the_prompt_and_what_follows(model, capsys):
    assert run(["sample", str(model), "--prompt", "open ", "--length", "40", "--seed", "3"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("open ")
    assert len(text) == 5 + 40 + 1
    assert run(["sample", str(model), "--prompt", "open ", "--length", "40", "--seed", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == text[5:-1]


def test_stdlib_trains(tmp_path, capsys):
    assert run(["train", "text", "--stdlib", "--out", str(tmp_path / "out"), *SMALL, "--steps", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["valid"]["characters"] > 100_000


def test_help_tells_the_exit_codes(capsys):
    for arguments in ([], ["--help"], ["train", "text", "--help"], ["sample", "--help"], ["eval", "--help"]):
        assert run(arguments) == 0
        assert "Exit codes: 0 success; 2 invalid input" in " ".join(capsys.readouterr().out.split())


# ---- bad input ------------------------------------------------------------------------------------------------------

BAD = {
    "no such file": ("train text {tmp}/nothing.txt --out {tmp}/out", "nothing.txt does not exist"),
    "empty": ("train text {tmp}/empty.txt --out {tmp}/out", "empty.txt is empty"),
    "short": (
        "train text {tmp}/short.txt --out {tmp}/out",
        r"18 characters to train on, .* \(--batch \d+ x --length \d+\)",
    ),
    "not utf-8": ("train text {tmp}/latin.txt --out {tmp}/out", "byte 0xe9 at line 2, column 4, .* --encoding latin-1"),
    "directory": ("train text {tmp} --out {tmp}/out", "is a directory"),
    "no text": ("train text --out {tmp}/out", "no text to train on"),
    "no out": ("train text {tmp}/short.txt", "--out"),
    "out is a file": ("train text {tmp}/short.txt --out {tmp}/short.txt", "cannot be a folder"),
    "out is taken": ("train text {tmp}/short.txt --out {model}", "add --resume"),
    "no number": ("train text {tmp}/short.txt --out {tmp}/out --hidden many", "hidden"),
    "no such option": ("train text {tmp}/short.txt --out {tmp}/out --hiden 5", "--hiden"),
    "no such command": ("trian", "trian"),
    "no such device": ("train text {text} --out {tmp}/out --device cuda:99", "--device cuda:99 cannot be used"),
    "one to validate on": ("train text {tmp}/short.txt --out {tmp}/out --valid-fraction 0.05", "1 character is left"),
    "truncated": ("train text --out {tmp}/truncated --resume", "last.safetensors is truncated"),
    "edited": ("train text --out {tmp}/edited --resume", "last.safetensors was edited"),
    "another version": ("train text --out {tmp}/version --resume", "last.safetensors has format 99"),
    "sample of a truncated one": ("sample {tmp}/truncated", "best.safetensors is truncated"),
    "sample of an edited one": ("sample {tmp}/edited", "best.safetensors was edited"),
    "sample of another version": ("sample {tmp}/version", "best.safetensors has format 99"),
    "sample of nothing": ("sample {tmp}/nothing", "does not exist"),
    "sample of no run": ("sample {tmp}", "holds no checkpoint"),
    "sample of a text": ("sample {text}", "not a checkpoint"),
    "unknown in prompt": ("sample {model} --prompt Q", r"the prompt has 'Q' \(U\+0051\) at line 1, column 1"),
    "unknown in text": ("eval {model} {tmp}/short.txt", r"short.txt has '1' \(U\+0031\) at line 1, column 1"),
    "eval of one character": ("eval {model} {tmp}/one.txt", "a text of 1 characters"),
    "predict by a language model": ("predict {model} {text}", "for a language model: use carrousel sample to continue"),
    "eval of no file": ("eval {model} {tmp}/nothing.txt", "does not exist"),
}


@pytest.fixture(scope="module")
def bad(model, tmp_path_factory):
    """A folder with everything that is wrong."""
    tmp = tmp_path_factory.mktemp("bad")
    (tmp / "empty.txt").write_text("")
    (tmp / "short.txt").write_text("12345678901234567890"[:20])
    (tmp / "one.txt").write_text("o")
    (tmp / "latin.txt").write_bytes(b"tea\ncaf\xe9 cr\xe8me" * 1000)
    for name in ("truncated", "edited", "version"):
        (tmp / name).mkdir()
        for file in ("last.safetensors", "best.safetensors"):
            content = bytearray((model / file).read_bytes())
            if name == "truncated":
                del content[-50:]
            if name == "edited":
                content[-50] ^= 1
            if name == "version":
                content = content.replace(b'\\"format\\": 1', b'\\"format\\": 99').replace(b"   ", b"", 0)
                content[:8] = (int.from_bytes(content[:8], "little") + 1).to_bytes(8, "little")
            (tmp / name / file).write_bytes(content)
    return tmp


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, bad, model, text, capsys):
    command, message = BAD[case]
    before = {file: file.read_bytes() for file in (*bad.rglob("*"), *model.rglob("*")) if file.is_file()}
    assert run(command.format(tmp=bad, model=model, text=text).split()) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert re.fullmatch(rf"carrousel: [^\n]*{message}[^\n]*\n", stderr), stderr
    assert before == {file: file.read_bytes() for file in (*bad.rglob("*"), *model.rglob("*")) if file.is_file()}


def test_other_encodings(tmp_path, capsys):
    (tmp_path / "latin.txt").write_bytes((sentences() + "\u00e9").encode("latin-1"))
    arguments = ["train", "text", str(tmp_path / "latin.txt"), "--out", str(tmp_path / "out"), *SMALL]
    assert run([*arguments, "--encoding", "latin-1"]) == 0
    assert "\u00e9" in checkpoint.read(tmp_path / "out" / "last.safetensors", "")[0]["data"]["symbols"]
