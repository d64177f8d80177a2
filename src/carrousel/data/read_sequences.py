"""Read labelled sequences: which reader reads which file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from carrousel.data.sequences import Sequences, join
from carrousel.data.text import STDIN
from carrousel.errors import UserError


class Reader(NamedTuple):
    """A function `read(path, **options)`, imported when a file needs it.

    Args:
        module: the full name of its module.
        function: its name there.
        options: the names of the options that it takes.
    """

    module: str
    function: str
    options: tuple[str, ...] = ()


FOLDER, OF_STDIN = "/", ".ts"
TABLE = Reader("carrousel.data.long_form", "read_table", ("encoding", "id", "time", "label", "needs_label"))
READERS: dict[str, Reader] = {  # by the end of a file's name; FOLDER: a folder
    ".ts": Reader("carrousel.data.ts", "read_sequences", ("encoding",)),
    ".csv": TABLE,
    ".tsv": TABLE,
    ".parquet": TABLE,
    ".npz": Reader("carrousel.data.npz", "read_npz"),
    FOLDER: Reader("carrousel.data.sounds", "read_sounds", ("label_from",)),
}
ALWAYS = {"encoding", "needs_label"}  # options that are given to all kinds of files, and read where they matter


def read_sequences(path: str | Path, **options: Any) -> Sequences:
    """Read sequences with the reader for this kind of file.

    Args:
        path: a file, plain or gzip (name.ts.gz), or a folder; - is stdin, in .ts format.
        options: of the readers, by name; None: not given.

    Raises:
        UserError: no reader knows such a file, it cannot be read, or an option is not one of its reader.
    """
    kind = kind_of(path)
    if kind not in READERS:
        is_there = Path(path).exists()
        found = f"{path} is not a kind of file that is read here" if is_there else f"{path} does not exist"
        raise UserError(f"{found}: name {describe_kinds()}")
    reader = READERS[kind]
    given = {name: value for name, value in options.items() if value is not None}
    for name in sorted(given.keys() - set(reader.options) - ALWAYS):
        raise UserError(f"--{name.replace('_', '-')} {given[name]} does not fit {path}: leave it out for such a file")
    read = getattr(import_module(reader.module), reader.function)
    return read(path, **{name: value for name, value in given.items() if name in reader.options})


def read_all(paths: Sequence[str | Path], **options: Any) -> Sequences:
    """The sequences of several files, one file after another; options and errors are those of `read_sequences`."""
    return join([read_sequences(path, **options) for path in paths], [name_file(path) for path in paths])


def name_file(path: str | Path) -> str:
    """What messages call a file."""
    return "stdin" if str(path) == STDIN else str(path)


def kind_of(path: str | Path) -> str:
    """The key of a file in `READERS`: the end of its name, in lower case and without .gz."""
    if str(path) == STDIN:
        return OF_STDIN
    if Path(path).is_dir():
        return FOLDER
    return Path(str(path).lower().removesuffix(".gz")).suffix


def describe_kinds() -> str:
    """What can be read, in words."""
    return f"a file ({', '.join(kind for kind in READERS if kind != FOLDER)}) or a folder of WAV files"
