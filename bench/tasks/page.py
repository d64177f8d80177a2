"""docs/tasks.md, from the results of all jobs that were ever run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.tasks.jobs import JOBS, Job

DOCS = Path(__file__).resolve().parents[2] / "docs"
RESULTS = "tasks.json"
BASELINES = ("most_frequent", "nearest_neighbour", "unigram", "bigram", "copy")  # how their figures' names begin
HEAD = """# What the tasks reach

Default runs on real data, beside what others have published. Written by `python -m bench tasks DATA`, where DATA is a
folder of data sets that the project does not bring along; `--only NAME` runs one job again. Nothing was chosen by a
test part. Minutes are those of training.
"""


def add(folder: Path, job: Job, result: dict[str, Any]) -> None:
    """Store the result of a job, and write the page anew."""
    path = folder / RESULTS
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results[job.name] = result
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "tasks.md").write_text(write(results), encoding="utf-8")


def write(results: dict[str, Any]) -> str:
    """The page, in Markdown: a section for each job that was run."""
    return "\n".join([HEAD, *(describe(job, results[job.name]) for job in JOBS if job.name in results)])


def describe(job: Job, result: dict[str, Any]) -> str:
    """The section of a job."""
    commands = "\n".join(result["commands"])
    figures = {name: result["figures"][name] for name in job.figures if name in result["figures"]}
    rows = [f"| {label(name)} | {show(value)} | |" for name, value in figures.items()]
    rows += [f"| {who} | {what} | {where} |" for who, what, where in job.others]
    minutes, weights, threads = result["seconds"] / 60, result["weights"], result["threads"]
    return f"""## {job.name}

{job.data[0].upper()}{job.data[1:]}.

```sh
{commands}
```

{minutes:.1f} minutes, {result["steps"]:,} steps, {weights:,} weights, {threads} threads.

| who | figure | source |
|---|---|---|
{chr(10).join(rows)}
"""


def label(name: str) -> str:
    """What a figure is called: ours, or that of a baseline that was measured beside it."""
    is_baseline = name.startswith(BASELINES)
    return f"{'baseline' if is_baseline else 'ours'}: {name.replace('_', ' ')}"


def show(value: float) -> str:
    """A figure with four digits."""
    return f"{value:.4g}"
