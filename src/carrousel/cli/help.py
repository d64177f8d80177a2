"""The end of every command's help text: exit codes and two examples."""

from __future__ import annotations

Example = tuple[str, str]  # a command without its first word, and what it does

EXIT_CODES = (
    "Exit codes: 0 success; 2 invalid input or a run that cannot go on (one-line message); "
    "130 interrupted by Ctrl-C, progress saved; 128 + n stopped by signal n."
)


def write_epilog(*examples: Example, program: str = "carrousel") -> str:
    """The end of a help text, in Markdown.

    Args:
        examples: commands without the program's name, and what each does: a verb and its object, without a full stop.
        program: its name.
    """
    items = [f"* `{program} {command}`  \n{what}" for command, what in examples]
    return "\n\n".join([EXIT_CODES, *(["Examples:"] if items else []), *items])
