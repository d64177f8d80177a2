"""The page of what the tasks reach: its jobs, its commands, and what is written."""

from __future__ import annotations

import json

import pytest
from data_files import SHARED, error_of
from runs import sentences, write_text

from bench.tasks.jobs import JOBS, Job
from bench.tasks.measure import choose, measure
from bench.tasks.page import add
from carrousel.tasks import ALL

HERE = SHARED.exists()


def test_every_job_is_of_a_task_and_has_its_own_name():
    assert {job.train.split()[0] for job in JOBS} == set(ALL)
    assert len({job.name for job in JOBS}) == len(JOBS)


def test_jobs_are_chosen_by_the_beginnings_of_their_names():
    assert [job.name for job in choose("japanese, ewt")] == ["Japanese Vowels", "EWT in 3 minutes", "EWT in 15 minutes"]
    assert choose(None) == list(JOBS)
    assert "--only moon begins no job's name: Japanese Vowels, " in error_of(choose, "moon")


@pytest.mark.skipif(not HERE, reason=f"{SHARED} is not here")
def test_the_files_of_all_jobs_are_here():
    words = [word for job in JOBS for word in f"{job.train} {job.test}".split() if word.startswith("{data}")]
    missing = [word for word in words if not (SHARED / word.removeprefix("{data}/")).exists()]
    assert words
    assert not missing


@pytest.mark.slow
def test_a_job_is_run_and_its_section_replaced(tmp_path):
    def split(data, work):
        (work / "train.txt").write_text((data / "text.txt").read_text()[:3000])
        (work / "test.txt").write_text(sentences(seed=3))

    write_text(tmp_path)
    small = "words {work}/train.txt --min-count 1 --hidden 8 --batch 2 --length 8 --steps 5"
    test, figures = "{work}/test.txt", ("perplexity", "unigram_perplexity")
    job = Job(JOBS[0].name, "made-up sentences", small, test, figures, (("chance", "22", "counted"),), split)
    result = measure(job, tmp_path)
    assert result["steps"] == 5
    assert set(result["figures"]) == set(figures)
    add(tmp_path, job, {**result, "steps": 4})
    add(tmp_path, job, result)
    page = (tmp_path / "tasks.md").read_text()
    assert page.count("## ") == 1
    assert "carrousel train words WORK/train.txt --min-count 1" in page
    assert "carrousel eval RUN WORK/test.txt" in page
    assert ", 5 steps, " in page
    assert json.loads((tmp_path / "tasks.json").read_text())[job.name] == result
