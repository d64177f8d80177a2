"""Options of tasks that read files, of which one may be stdin."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TypeVar

from carrousel.data.text import STDIN, absolute
from carrousel.errors import UserError
from carrousel.training.options import DATA, Options, option

Self = TypeVar("Self", bound="FileOptions")


@dataclass(frozen=True)
class FileOptions(Options):
    """Files to train on, and what to validate on."""

    files: tuple[str, ...] = option(
        (), "Text, plain or gzip; several are joined; - is stdin.", DATA, metavar="FILE", may_change=True
    )
    encoding: str = option("utf-8", "Encoding of the files.", DATA)
    valid: str | None = option(
        None, "File to validate on, instead of the end of the training data.", DATA, may_change=True
    )
    valid_fraction: float = option(
        0.1, "Part at the end to validate on.", DATA, least=0, below=1, range="at least 0 and below 1"
    )

    @property
    def has_data(self) -> bool:
        """Whether the options name something to train on."""
        return bool(self.files)

    def to_repeat(self) -> list[str]:
        """The arguments that name stdin, which is not saved."""
        return [*(self.files if STDIN in self.files else ()), *(("--valid", STDIN) if self.valid == STDIN else ())]

    def complete(self: Self) -> Self:
        """Check these options, fill in those that are open, and make the names of files absolute.

        Raises:
            UserError: nothing to train on is named, stdin is named twice, or a value is not allowed.
        """
        if not self.has_data:
            raise UserError("no data to train on: name one or more files, or - for stdin")
        if [*self.files, self.valid].count(STDIN) > 1:
            raise UserError("- is stdin, which can be read only once: name it once, and files beside it")
        files, valid = tuple(map(absolute, self.files)), self.valid and absolute(self.valid)
        return replace(super().complete(), files=files, valid=valid)

    def resume_with(self: Self, now: Options, given: Collection[str]) -> Self:
        """The options with which a run continues, as for `Options`; data from stdin must be piped in again.

        Raises:
            UserError: an option would make it a different run, or stdin is not named again.
        """
        options = super().resume_with(now, given)
        again = [*(options.files if "files" not in given and STDIN in options.files else ())]
        again += ["--valid", STDIN] if "valid" not in given and options.valid == STDIN else []
        if again:
            raise UserError(
                "the run to resume read its data from stdin, and no data is saved: pipe the same data into it again, "
                f"and name stdin again: {' '.join(again)}"
            )
        return options
