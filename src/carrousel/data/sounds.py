"""A folder of WAV files as sequences of log-mel frames; labels are sub-folders, or a part of the files' names."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carrousel.data.growing_array import GrowingArray
from carrousel.data.libraries import load_library
from carrousel.data.log_mel import BANDS, log_mel
from carrousel.data.sequences import Sequences
from carrousel.errors import UserError

UNLABELLED = "WAV files without a label"
OTHERS = "files that are not called .wav"
AVERAGED = "WAV files with several channels (averaged)"
MOST = 16  # samples for each byte of a file, beyond which its header is wrong
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # samples in a second


def read_sounds(folder: str | Path, label_from: str | None = None) -> Sequences:
    """The sounds of a folder and the folders in it, in the order of their names.

    Args:
        folder: has WAV files: each in a folder called as its label, or all without labels.
        label_from: a regular expression with one group, the label, searched in the name of each file: "^([0-9])_".

    Raises:
        UserError: a file is damaged, empty, or has another sample rate than the first; says which.
    """
    folder = Path(folder)
    skipped: Counter[str] = Counter()
    files = find_files(folder, skipped)
    pattern = compile_pattern(label_from)
    labels = [label_of(file.relative_to(folder), pattern) for file in files]
    has_labels = label_from is not None or any(labels)
    chosen = [(file, label) for file, label in zip(files, labels) if label or not has_labels]
    skipped[UNLABELLED] += len(files) - len(chosen)
    if not chosen:
        raise UserError(
            f"--label-from {label_from!r} finds a label in none of the names, for example {files[0].name!r}"
        )
    frames, lengths, first = GrowingArray(np.float32, BANDS), [], None
    for file, _ in chosen:
        samples, rate = read_samples(file, skipped)
        first = first or (rate, file)
        if rate != first[0]:
            raise UserError(
                f"{file} has {rate:,} samples a second, and {first[1]} has {first[0]:,}: resample them to one rate"
            )
        found = log_mel(torch.from_numpy(samples), rate).numpy()
        frames.add(found)
        lengths.append(len(found))
    return Sequences(
        frames.finish(),
        np.array(lengths, np.int64),
        tuple(label for _, label in chosen) if has_labels else None,
        tuple(file.relative_to(folder).as_posix() for file, _ in chosen),
        tuple(f"mel {band}" for band in range(BANDS)),
        {reason: count for reason, count in skipped.items() if count},
    )


def find_files(folder: Path, skipped: Counter[str]) -> list[Path]:
    """The WAV files in a folder and below, sorted; other files are counted, hidden ones are not.

    Raises:
        UserError: there is no such folder, or no WAV file in it.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder} is {'not a directory' if folder.exists() else 'not there'}: name a folder of WAV files"
        )
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    files = []
    for path in sorted(paths):
        if path.suffix.lower() == ".wav":
            files.append(path)
        else:
            skipped[OTHERS] += 1
    if not files:
        raise UserError(f"{folder} has no WAV files: put them into folders that are called as their labels")
    return files


def compile_pattern(label_from: str | None) -> re.Pattern[str] | None:
    """A regular expression with one group.

    Raises:
        UserError: it is not.
    """
    if label_from is None:
        return None
    try:
        pattern = re.compile(label_from)
    except re.error as error:
        raise UserError(f"--label-from {label_from!r} is not a regular expression: {error}") from None
    if pattern.groups != 1:
        raise UserError(f"--label-from {label_from!r} has {pattern.groups} groups: put () around the label, once")
    return pattern


def label_of(path: Path, pattern: re.Pattern[str] | None) -> str:
    """The label of a file: its first folder, or what a pattern finds in its name; "" if there is none."""
    if pattern is None:
        return path.parts[0] if len(path.parts) > 1 else ""
    found = pattern.search(path.name)
    return (found[1] or "") if found else ""


def read_samples(file: Path, skipped: Counter[str]) -> tuple[NDArray[np.float32], int]:
    """The samples of a file [n], the mean of its channels, and how many are in a second.

    Raises:
        UserError: it is damaged or empty.
    """
    soundfile: Any = load_library("soundfile", f"reading {file}")
    try:
        with soundfile.SoundFile(str(file)) as sound:
            if sound.frames * sound.channels > MOST * file.stat().st_size:
                raise UserError(f"{file} is damaged: its header says {sound.frames:,} samples: write it again")
            samples, rate = sound.read(dtype="float32", always_2d=True), sound.samplerate
    except (soundfile.SoundFileError, OSError, RuntimeError, ValueError, MemoryError) as error:
        reason = str(error).splitlines()[0].rsplit(": ", 1)[-1] if str(error) else type(error).__name__
        raise UserError(
            f"{file} is damaged or no WAV file ({reason.strip(' .')}): write it again, or remove it"
        ) from None
    if not len(samples):
        raise UserError(f"{file} has no samples: remove it")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE or not np.isfinite(samples).all():
        problem = f"{rate:,} samples a second" if np.isfinite(samples).all() else "samples that are not finite"
        raise UserError(f"{file} has {problem}: write it again, or remove it")
    skipped[AVERAGED] += samples.shape[1] > 1
    return samples.mean(1) if samples.shape[1] > 1 else samples[:, 0].copy(), rate
