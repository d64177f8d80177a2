"""The program `carrousel`: its commands in the order in which people use them, and how errors become exit codes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from carrousel import __version__, ctrl_c, memory, results
from carrousel.cli import bench, eval, predict, reproduce, sample, train
from carrousel.cli.help import write_epilog
from carrousel.errors import UserError

COMMANDS = ("train", "predict", "eval", "sample", "reproduce", "bench")
LESS = "ask for less at once (sizes, trials, text, prompt), or free some"  # if memory runs out
USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]  # click's; newer typers bring their own click
EPILOG = write_epilog(
    ("train text --stdlib --minutes 2 --out runs/first", "trains a first model on text that is on every machine"),
    ('sample runs/first --prompt "def "', "lets it write"),
)
STYLE: Any = {"add_completion": False, "rich_markup_mode": "markdown"}


class InOrder(TyperGroup):
    """Commands and groups of commands in one order; typer lists the groups last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names in the order of `COMMANDS`."""
        return list(COMMANDS)


def print_version(is_wanted: bool) -> None:
    """Print the version and exit, if that is wanted."""
    if is_wanted:
        print(f"carrousel {__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The options before a command."""


app: typer.Typer = typer.Typer(
    help="Recurrent networks on fused CPU kernels.", callback=options, cls=InOrder, epilog=EPILOG, **STYLE
)
app.add_typer(train.app, name="train")
app.command("predict", epilog=predict.EPILOG)(predict.predict)
app.command("eval", epilog=eval.EPILOG)(eval.evaluate)
app.command("sample", epilog=sample.EPILOG)(sample.sample)
app.command("reproduce", epilog=reproduce.EPILOG)(reproduce.reproduce)
app.add_typer(bench.app, name="bench")


def main() -> None:
    """The entry point."""
    exit_with(lambda: run(sys.argv[1:]))


def exit_with(run: Any) -> None:
    """Run a program to its end and exit with its code; Ctrl-C at any moment exits with 130."""
    try:
        ctrl_c.raise_once()
        results.escape_what_cannot_be_encoded()
        code = run()
        ctrl_c.leave_at_once(code)
    except KeyboardInterrupt:
        code = ctrl_c.CODE
    sys.exit(code)


def run(arguments: Sequence[str], app: typer.Typer = app, name: str = "carrousel") -> int:
    """Run one command and return its exit code.

    Args:
        arguments: the command line without the program's name.
        app: the program.
        name: what usage and error messages call it.
    """
    command = typer.main.get_command(app)
    try:
        with memory.explained(lambda: LESS):
            code = command.main(list(arguments) or ["--help"], prog_name=name, standalone_mode=False) or 0
        print(end="", flush=True)  # while a full disk can still be reported
        return code
    except UserError as error:
        message = str(error)
    except USAGE_ERROR as error:
        message = error.format_message() + quote_value(error, arguments)  # type: ignore[attr-defined]
    except (BrokenPipeError, SystemExit):  # nobody reads stdout, as in `... | head`: typer and rich make it an exit
        results.give_up(1)
        return 128 + signal.SIGPIPE
    except typer.Abort:  # Ctrl-C outside of a run, which handles it itself; typers without this return 130 themselves
        return 128 + signal.SIGINT
    except OSError as error:
        message = describe(error)
    if message:  # it is empty for a group without a command, which has printed its help
        results.say(f"{name}: {' '.join(message.split())}")
    return 2


def describe(error: OSError) -> str:
    """The message for a file, or for stdout, that no command has said more of."""
    if error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}; name another"
    results.give_up(1)
    return f"stdout cannot be written: {error.strerror}; free some space, then run the same command again"


def quote_value(error: Exception, arguments: Sequence[str]) -> str:
    """The value that was typed for the option that an error is about, to be added to its message, or ""."""
    names = getattr(getattr(error, "param", None), "opts", ())
    for word, behind in zip(arguments[::-1], [None, *arguments[:0:-1]]):  # of several the last one counts
        name, sign, value = word.partition("=")
        if name in names and (sign or behind is not None):
            return f" (given: {value if sign else behind})"
    return ""
