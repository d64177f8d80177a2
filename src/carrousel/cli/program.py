"""The command line: arguments in, one call, results out.

A command is a function here that calls its module; a group of commands is a typer app of its module's. Both are listed
at the end of this file.
"""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from carrousel import __version__, ctrl_c, memory, results
from carrousel.cli.bench import app as bench
from carrousel.cli.reproduce import reproduce
from carrousel.data.text import STDIN, read
from carrousel.errors import UserError
from carrousel.tasks.evaluate import evaluate
from carrousel.tasks.sample import sample
from carrousel.training.options import CELLS, NAMES, OPTIMIZERS, SCHEDULES, Options
from carrousel.training.progress import clock
from carrousel.training.run import train_text
from carrousel.training.start import device as chosen
from carrousel.training.trained import load

CODES = (
    "Exit codes: 0 done; 2 bad input or a run that cannot go on, told in one line; "
    "128 + n stopped by signal n, all saved (130: Ctrl-C)."
)
LESS = "ask for less at once (sizes, trials, text, prompt), or free some"  # where memory is out
FILE = "Text, plain or gzip; - is stdin."
FILES = "Text, plain or gzip; several are joined; - is stdin."
USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]  # click's; newer typers bring their own click


def about(panel: str | None, text: str, *names: str) -> Any:
    """An option: where it stands in the help, what it is, and its name if that is not the argument's."""
    return typer.Option(*names, help=text, rich_help_panel=panel)


TEXT, MODEL, TRAINING, RUN = "Text", "Model", "Training", "Run"  # panels of the help


def text(
    context: typer.Context,
    out: Annotated[Path, about(RUN, "Folder for checkpoints, curve and report.")],
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help=FILES)] = None,
    stdlib: Annotated[bool, about(TEXT, "Train on the source of Python's own standard library.", "--stdlib")] = False,
    encoding: Annotated[str, about(TEXT, "Of the files.")] = Options.encoding,
    letters: Annotated[bool, about(TEXT, "Letters only, lower case; all else is a blank.", "--letters")] = False,
    characters: Annotated[int | None, about(TEXT, "Take only so many, from the start.")] = None,
    valid: Annotated[str | None, about(TEXT, "Text to validate on, instead of the end of the files.")] = None,
    valid_fraction: Annotated[float, about(TEXT, "Part at the end to validate on.")] = Options.valid_fraction,
    cell: Annotated[str, about(MODEL, f"One of {', '.join(CELLS)}.")] = Options.cell,
    hidden: Annotated[int, about(MODEL, "Units of a layer (H).")] = Options.hidden,
    layers: Annotated[int, about(MODEL, "Recurrent layers.")] = Options.layers,
    dropout: Annotated[float | None, about(MODEL, "Of each layer's outputs (default: 0.2; one layer: 0).")] = None,
    length: Annotated[int, about(TRAINING, "Characters that errors flow back (T).")] = Options.length,
    batch: Annotated[int, about(TRAINING, "Streams that are read side by side (B).")] = Options.batch,
    optimizer: Annotated[str, about(TRAINING, f"One of {', '.join(OPTIMIZERS)}.")] = Options.optimizer,
    lr: Annotated[float | None, about(TRAINING, "Learning rate at its highest (default: 0.006; sgd: 1).")] = None,
    weight_decay: Annotated[float, about(TRAINING, "AdamW's.")] = Options.weight_decay,
    schedule: Annotated[str, about(TRAINING, f"Of the learning rate: {', '.join(SCHEDULES)}.")] = Options.schedule,
    clip: Annotated[float, about(TRAINING, "Largest norm of the gradient; 0: any.")] = Options.clip,
    steps: Annotated[int | None, about(TRAINING, "End after so many steps.")] = None,
    epochs: Annotated[float | None, about(TRAINING, "End after the text was read so often.")] = None,
    minutes: Annotated[float | None, about(TRAINING, "End after so many minutes (default: 12).")] = None,
    patience: Annotated[int, about(TRAINING, "End after so many vain validations; 0: never.")] = Options.patience,
    seed: Annotated[int, about(TRAINING, "Of weights and dropout.")] = Options.seed,
    device: Annotated[str, about(RUN, "cpu, cuda, cuda:1, ...; auto: a GPU if there is one.")] = Options.device,
    save_every: Annotated[float, about(RUN, "Seconds between checkpoints.")] = Options.save_every,
    resume: Annotated[bool, about(RUN, "Go on with the run in --out; needs no other option.", "--resume")] = False,
    as_json: Annotated[bool, about(RUN, "Print the result as JSON.", "--json")] = False,
) -> int:
    """Train a character language model on text.

    Ctrl-C saves, and says how to go on. Killed at any moment and resumed, a run with --steps or --epochs ends with the
    same weights, bit for bit, as one that was never stopped (on the same CPU, with as many threads). With --minutes it
    goes on by the clock, where it was. A text from stdin is not kept: to go on, pipe it again and name - again.
    """
    given = {name for name in NAMES if context.get_parameter_source(name).name == "COMMANDLINE"}  # type: ignore[union-attr]
    values = {name: context.params[name] for name in NAMES}
    values["files"] = tuple(files or ())
    result = train_text(Options(**values), out, resume=resume, given=given, quiet=as_json)
    if as_json:
        print(json.dumps(result))
    else:
        summary(result)
    if result["ended"] == "interrupted":
        results.say(f"stopped at step {result['step']:,}, all is saved; {go_on(values['files'], valid, out)}")
        return 128 + result["signal"]
    return 0


def go_on(files: Sequence[str], valid: str | None, out: Path) -> str:
    """How a run that was stopped goes on; its files are known, but what came from stdin has to come again."""
    again = [*(files if STDIN in files else ()), *(("--valid", STDIN) if valid == STDIN else ())]
    command = shlex.join([*program(), "train", "text", *again, "--out", str(out), "--resume"])
    return f"{'pipe the same text again and ' if again else ''}go on with: {command}"


def summary(result: dict[str, Any]) -> None:
    """The end of a run, for people."""
    print(
        f"{clock(result['seconds'])}, {result['step']:,} steps, {result['characters']:,} characters, "
        f"{result['characters_per_second']:,.0f} a second; {result['weights']:,} weights"
    )
    if score := result["train"]:
        print(f"training    {loss(score)}  (the last {score['characters']:,} characters, while learning)")
    if score := result["valid"]:
        note = f"all {score['characters']:,} characters, weights of step {result['best_step']:,}"
        print(f"validation  {loss(score)}  ({note})")
    print(f"{result['out']}: {', '.join(result['files'])}")


def loss(score: dict[str, float]) -> str:
    """A score, for people."""
    return "{nats_per_char:.4f} nats a character  {bits_per_char:.4f} bits  perplexity {perplexity:.3f}".format(**score)


def draw_text(
    model: Annotated[Path, typer.Argument(help="Folder of a run, or one of its checkpoints.")],
    prompt: Annotated[str, about(None, "Text to go on with.")] = "",
    temperature: Annotated[float, about(None, "Below 1: more likely text; 0: the most likely; above 1: wilder.")] = 0.8,
    length: Annotated[int, about(None, "Characters to write.")] = 500,
    seed: Annotated[int, about(None, "The same seed gives the same text.")] = 0,
    as_json: Annotated[bool, about(None, "Print the text and its settings as JSON.", "--json")] = False,
) -> int:
    """Write text with a model, character by character."""
    characters = sample(load(model), prompt, length, temperature, seed)
    if as_json:
        settings = {"prompt": prompt, "temperature": temperature, "length": length, "seed": seed}
        print(json.dumps({**settings, "text": "".join(characters)}))
        return 0
    print(end=prompt)
    for character in characters:
        print(character, end="", flush=True)
    print()
    return 0


def evaluate_file(
    model: Annotated[Path, typer.Argument(help="Folder of a run, or one of its checkpoints.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help=FILE)],
    encoding: Annotated[str, about(None, "Of the file.")] = "utf-8",
    device: Annotated[str, about(None, "cpu, cuda, ...; auto: a GPU if there is one.")] = "auto",
    as_json: Annotated[bool, about(None, "Print the numbers as JSON.", "--json")] = False,
) -> int:
    """Measure how well a model predicts a text.

    Every character but the first is predicted once, from all before it or from at least 256. A character that the
    model never saw has no probability: it is an error, and its place is told.
    """
    trained = load(model)
    where = chosen(device)
    name = "stdin" if file == STDIN else file
    score = evaluate(trained.model.to(where), trained.encode(read(file, encoding), name).to(where)).numbers()
    print(json.dumps(score) if as_json else f"{loss(score)}  ({score['characters']:,} characters)")
    return 0


def tell_version(asked: bool) -> None:
    """The version, and nothing else."""
    if asked:
        print(f"carrousel {__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=tell_version, is_eager=True, help="Tell the version and exit.")
    ] = False,
) -> None:
    """What may stand before a command."""


STYLE: Any = {"epilog": CODES, "add_completion": False, "rich_markup_mode": "markdown"}
app = typer.Typer(help="Recurrent networks on fused CPU kernels.", callback=options, **STYLE)
train = typer.Typer(help="Train a model.", no_args_is_help=True, **STYLE)
train.command("text", epilog=CODES)(text)
app.add_typer(train, name="train")
app.add_typer(bench, name="bench")
app.command("sample", epilog=CODES)(draw_text)
app.command("eval", epilog=CODES)(evaluate_file)
app.command("reproduce", epilog=CODES)(reproduce)


def main() -> None:
    """The entry point."""
    try:
        ctrl_c.raise_once()
        results.escape_what_cannot_be_encoded()
        code = run(sys.argv[1:])
        ctrl_c.leave_at_once(code)
    except KeyboardInterrupt:
        code = ctrl_c.CODE
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; its exit code."""
    command = typer.main.get_command(app)
    try:
        with memory.explained(lambda: LESS):
            code = command.main(arguments or ["--help"], prog_name="carrousel", standalone_mode=False) or 0
        print(end="", flush=True)  # while it can still be told that there is no room
        return code
    except UserError as error:
        message = str(error)
    except USAGE_ERROR as error:
        message = error.format_message() + value_of(error, arguments)  # type: ignore[attr-defined]
    except (BrokenPipeError, SystemExit):  # the reader has gone, as in `... | head`: typer and rich make it an exit
        results.give_up(1)
        return 128 + signal.SIGPIPE
    except typer.Abort:  # Ctrl-C outside of a run, which has its own way; typers without this return 130 themselves
        return 128 + signal.SIGINT
    except OSError as error:
        message = about_files(error)
    if message:  # a group without a command has shown its help instead
        results.say(f"carrousel: {' '.join(message.split())}")
    return 2


def about_files(error: OSError) -> str:
    """What to say of a file that no command has said more of, or of stdout."""
    if error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}; name another"
    results.give_up(1)
    return f"stdout cannot be written: {error.strerror}; make room, then run the same command again"


def value_of(error: Exception, arguments: list[str]) -> str:
    """The value that was typed for the option that an error is about, to be told behind it."""
    names = getattr(getattr(error, "param", None), "opts", ())
    for word, behind in zip(arguments[::-1], [None, *arguments[:0:-1]]):  # of several the last one counts
        name, sign, value = word.partition("=")
        if name in names and (sign or behind is not None):
            return f" (given: {value if sign else behind})"
    return ""


def program() -> list[str]:
    """How this program was called."""
    return [sys.executable, "-m", "carrousel"] if sys.argv[0].endswith("__main__.py") else ["carrousel"]
