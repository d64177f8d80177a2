"""`carrousel train`: a command for each task, made from the task's options."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from typer.core import TyperGroup

from carrousel import ctrl_c, results
from carrousel.cli.help import write_epilog
from carrousel.training.options import DATA, MODEL, RUN, TRAINING, About, spell

if TYPE_CHECKING:
    from carrousel.training.task import Task

PANELS = (DATA, MODEL, TRAINING, RUN)
RESUMING = """Ctrl-C saves, and prints the command that continues. Killed at any moment and resumed, a run with --steps
or --epochs ends with the same weights, bit for bit, as one that was never stopped (on the same CPU, with as many
threads). With --minutes it continues with the time that is left. Data from stdin is not saved: to continue, pipe it in
again and name - again."""


class TaskCommands(TyperGroup):
    """A command for each task. They are made when one is asked for: tasks import torch."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the tasks."""
        return list(all_commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A task's command; None: there is no such task."""
        self.commands.update(all_commands())  # from which typer suggests a name that was meant
        return self.commands.get(cmd_name)


app: typer.Typer = typer.Typer(
    cls=TaskCommands,
    help="Train a model; every run can be stopped and resumed.",
    no_args_is_help=True,
    invoke_without_command=True,
    epilog=write_epilog(
        ("train --list", "lists the tasks"),
        ("train text book.txt --out runs/book", "trains a language model on a text"),
    ),
    rich_markup_mode="markdown",
)


def named(panel: str, help: str, *names: str) -> Any:
    """An option of every task that is not part of the run's options."""
    return typer.Option(*names, help=help, rich_help_panel=panel)


Out = Annotated[Path, named(RUN, "Folder for checkpoints, curve and report.")]
Resume = Annotated[bool, named(RUN, "Continue the run in --out; no other option is needed.", "--resume")]
Json = Annotated[bool, named(RUN, "Print the result as JSON.", "--json")]


@app.callback()
def list_tasks(
    context: typer.Context,
    is_list: Annotated[bool, typer.Option("--list", help="List the tasks and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """Print the tasks if that is wanted."""
    with ctrl_c.importing():
        from carrousel.tasks import ALL

    if is_list:
        if as_json:
            print(json.dumps([{"name": task.name, "summary": task.summary} for task in ALL.values()]))
        else:
            width = max(map(len, ALL))
            print("\n".join(f"{task.name:{width}}  {task.summary}" for task in ALL.values()))
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise typer.BadParameter(f"name a task: {', '.join(ALL)}")


def new_command(task: Task) -> Callable[..., int]:
    """The function of `carrousel train NAME`, with a parameter for each option of the task."""

    def command(context: typer.Context, **arguments: Any) -> int:
        return run_task(task, context, **arguments)

    context = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    command.__signature__ = Signature([context, *parameters(task)])  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in command.__signature__.parameters.values()}  # type: ignore[attr-defined]
    command.__doc__ = "\n\n".join(filter(None, [task.summary, task.details, RESUMING]))
    return command


def parameters(task: Task) -> list[Parameter]:
    """The parameters of a task's command, in the order of the panels."""
    types, about = get_type_hints(task.options), task.options.describe()
    defaults = {name: field.default for name, field in task.options.__dataclass_fields__.items()}
    names = sorted(about, key=lambda name: (PANELS.index(about[name].panel), not about[name].enlarges))
    found = [new_parameter(name, types[name], about[name], defaults[name]) for name in names]
    out, *others = (
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, kind, default in (("out", Out, Parameter.empty), ("resume", Resume, False), ("as_json", Json, False))
    )
    first_of_run = next(k for k, name in enumerate(names) if about[name].panel == RUN)
    return [*found[:first_of_run], out, *found[first_of_run:], *others]


def new_parameter(name: str, kind: Any, about: About, default: Any) -> Parameter:
    """An option, or a positional argument, as typer reads it."""
    if about.metavar:
        annotation: Any = Annotated[list[str] | None, typer.Argument(metavar=about.metavar, help=about.help)]
        return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=None)
    annotation = Annotated[kind, typer.Option(spell(name), help=about.help, rich_help_panel=about.panel)]
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def run_task(task: Task, context: typer.Context, out: Path, resume: bool, as_json: bool, **values: Any) -> int:
    """Train, print the result, and return the exit code."""
    with ctrl_c.importing():
        from carrousel.training.ranks import join_ranks
        from carrousel.training.run import train

    about = task.options.describe()
    given = {name for name in about if context.get_parameter_source(name).name == "COMMANDLINE"}  # type: ignore[union-attr]
    values = {name: tuple(value or ()) if about[name].metavar else value for name, value in values.items()}
    options = task.options(**values)
    with join_ranks() as ranks:
        result = train(task, options, out, resume=resume, given=given, quiet=as_json, program=program(), ranks=ranks)
    if not ranks.is_first:
        return 128 + result["signal"] if result["signal"] else 0
    if as_json:
        print(json.dumps(result))
    else:
        print_summary(task, result)
    if result["ended"] != "interrupted":
        return 0
    again = "pipe the same data in again and " if options.to_repeat() else ""
    results.say(f"stopped at step {result['step']:,}, progress saved; {again}continue with: {result['resume']}")
    return 128 + result["signal"]


def print_summary(task: Task, result: dict[str, Any]) -> None:
    """Print the end of a run, for people."""
    from carrousel.training.progress import clock

    unit = task.unit
    print(
        f"{clock(result['seconds'])}, {result['step']:,} steps, {result[unit]:,} {unit}, "
        f"{result[f'{unit}_per_second']:,.0f} a second; {result['weights']:,} weights"
    )
    if score := result["train"]:
        print(f"training    {task.describe(score)}  (the last {score[unit]:,} {unit}, during training)")
    if score := result["valid"]:
        measured = f"all {score[unit]:,} {unit}, weights of step {result['best_step']:,}"
        print(f"validation  {task.describe(score)}  ({measured})")
    print(f"{result['out']}: {', '.join(result['files'])}")


def program() -> list[str]:
    """How this program was called."""
    return [sys.executable, "-m", "carrousel"] if sys.argv[0].endswith("__main__.py") else ["carrousel"]


@cache
def all_commands() -> dict[str, Any]:
    """The commands `carrousel train TASK`, by name."""
    with ctrl_c.importing():
        from carrousel.tasks import ALL

    return {task.name: make_command(task) for task in ALL.values()}


def make_command(task: Task) -> Any:
    """The command `carrousel train TASK`."""
    of_task = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    examples = [(f"train {task.name} {command}", what) for command, what in task.examples]
    of_task.command(task.name, epilog=write_epilog(*examples))(new_command(task))
    return typer.main.get_command(of_task)
