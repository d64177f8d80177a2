"""`-` is stdin: `carrousel train text -`, `eval RUN -`, `bench text -`."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import time

import pytest
from runs import (
    ENVIRONMENT,
    PROGRAM,
    SMALL,
    carrousel_done,
    carrousel_process,
    resume,
    same_run,
    sentences,
    train,
    write_text,
)

from carrousel.cli import run
from carrousel.errors import UserError

pytestmark = pytest.mark.slow

LONG = ["--hidden", "12", "--batch", "4", "--length", "8", "--steps", "1000", "--save-every", "0.1"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def model(text):
    train(text, text.parent / "model")
    return text.parent / "model"


@pytest.fixture
def piped(monkeypatch, capsys):
    """The command in this process, with these bytes in a pipe that is its stdin: exit code, stdout and stderr."""

    def command(content: bytes, *arguments) -> tuple[int, str, str]:
        read, write = os.pipe()
        os.write(write, content)  # a pipe holds 64 kB
        os.close(write)
        with open(read, encoding="utf-8") as pipe:
            monkeypatch.setattr("sys.stdin", pipe)
            code = run(list(map(str, arguments)))
        return code, *capsys.readouterr()

    return command


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_text_from_stdin_trains_as_from_a_file(packed, text, model, tmp_path, piped):
    code, _, stderr = piped(packed(text.read_bytes()), "train", "text", "-", "--out", tmp_path / "out", *SMALL)
    assert (code, stderr) == (0, "")
    assert same_run(tmp_path / "out", model)
    options = json.loads((tmp_path / "out" / "run.json").read_text())["options"]
    assert options["files"] == ["-"]


def test_files_and_stdin_are_joined_in_their_order(text, model, tmp_path, piped):
    content = text.read_bytes()
    (tmp_path / "start.txt").write_bytes(content[:1000])
    arguments = ["train", "text", tmp_path / "start.txt", "-", "--out", tmp_path / "out", *SMALL]
    assert piped(content[1000:], *arguments)[0] == 0
    assert same_run(tmp_path / "out", model)


def test_text_to_validate_on_and_to_evaluate_may_come_from_stdin(text, model, tmp_path, capsys, piped):
    other = sentences(1500, seed=2).encode()
    (tmp_path / "other.txt").write_bytes(other)
    assert piped(other, "train", "text", text, "--valid", "-", "--out", tmp_path / "out", *SMALL)[0] == 0
    score = json.loads((tmp_path / "out" / "run.json").read_text())["result"]["valid"]
    code, stdout, _ = piped(other, "eval", tmp_path / "out", "-", "--json")
    assert (code, json.loads(stdout)) == (0, score)
    assert run(["eval", str(tmp_path / "out"), str(tmp_path / "other.txt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == score


def test_what_was_stopped_goes_on_with_the_same_text_and_says_so(text, tmp_path, piped):
    """The command that is printed, with the text piped into it; without - it is an error."""
    content, out = text.read_bytes(), tmp_path / "a folder"
    assert piped(content, "train", "text", "-", "--out", tmp_path / "whole", *LONG)[0] == 0
    process = carrousel_process("train", "text", "-", "--out", out, *LONG, stdin=subprocess.PIPE)
    process.stdin.write(text.read_text())
    process.stdin.close()
    while not (out / "last.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    stopped = re.fullmatch(
        r"stopped at step [\d,]+, progress saved; pipe the same data in again and continue with: (.*)\n",
        process.stderr.read(),
    )
    process.stdout.close()
    process.stderr.close()
    code, _, stderr = carrousel_done("train", "text", "--out", out, "--resume")
    assert code == 2
    assert re.fullmatch(r"carrousel: .* from stdin, .*pipe the same data into it again, .* again: -\n", stderr)
    again = subprocess.run(shlex.split(stopped[1]), input=content, env=ENVIRONMENT, capture_output=True, timeout=60)
    assert (again.returncode, again.stderr) == (0, b"")
    assert same_run(out, tmp_path / "whole")


def test_another_text_from_stdin_is_refused(text, tmp_path, piped):
    assert piped(text.read_bytes(), "train", "text", "-", "--out", tmp_path, *SMALL)[0] == 0
    code, _, stderr = piped(b"other words " * 99, "train", "text", "-", "--out", tmp_path, "--resume")
    assert code == 2
    assert "was trained on other data" in stderr


def test_validation_from_stdin_is_asked_for_again(text, tmp_path, piped):
    assert piped(text.read_bytes()[:900], "train", "text", text, "--valid", "-", "--out", tmp_path, *SMALL)[0] == 0
    with pytest.raises(UserError, match=r"name stdin again: --valid -$"):
        resume(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "stdin is empty: pipe text into it"),
        (b"caf\xe9", "stdin is not utf-8: byte 0xe9 at line 1, column 4"),
        (gzip.compress(b"text" * 99, mtime=0)[:-9], r"stdin is damaged or incomplete \(gzip"),
        (b"\xff\xfe\x00", "stdin is not utf-8: byte 0xff at line 1, column 1"),
        (b"open or 7", r"stdin has '7' \(U\+0037\) at line 1, column 9"),
    ],
)
def test_bad_text_on_stdin_is_one_line(content, says, model, piped):
    code, stdout, stderr = piped(content, "eval", model, "-")
    assert (code, stdout) == (2, "")
    assert re.fullmatch(rf"carrousel: {says}[^\n]*\n", stderr)


def test_a_closed_stdin_is_one_line(model):
    closed = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *PROGRAM, "eval", str(model), "-"], env=ENVIRONMENT,
                            capture_output=True, text=True)  # fmt: skip
    assert (closed.returncode, closed.stderr) == (2, "carrousel: stdin is closed: pipe text into it, or name a file\n")


@pytest.mark.parametrize("arguments", [["-", "-"], ["-", "--valid", "-"]], ids=" ".join)
def test_stdin_is_read_once(arguments, tmp_path, capsys):
    assert run(["train", "text", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert "- is stdin, which can be read only once" in capsys.readouterr().err


def test_a_file_of_that_name_is_named_with_its_folder(text, model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_bytes(text.read_bytes())
    assert run(["train", "text", "./-", "--out", "out", *SMALL]) == 0
    assert same_run(tmp_path / "out", model)
    assert run(["eval", "out", "./-"]) == 0
    assert "(3,999 characters)" in capsys.readouterr().out
    (tmp_path / "-").rename(tmp_path / "moved")
    assert run(["train", "text", "moved", "--out", "out", "--resume", "--steps", "14"]) == 0


def test_ctrl_c_ends_the_wait_for_text(tmp_path):
    """A terminal on which nothing is typed."""
    ours, theirs = pty.openpty()
    process = carrousel_process("train", "text", "-", "--out", tmp_path / "out", stdin=theirs)
    os.close(theirs)
    while not (tmp_path / "out").exists():  # which is made before the text is read
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    os.close(ours)
    assert (process.returncode, stderr.strip()) == (130, "")
    assert not (tmp_path / "out").exists()
