"""A release: one version in pyproject.toml, the changelog and the instructions."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import carrousel

ROOT = Path(__file__).resolve().parents[2]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_changelog_begins_with_the_packages_version_and_its_date():
    (version,) = re.findall(r'^version = "([^"]+)"', read("pyproject.toml"), re.MULTILINE)
    newest, date = re.findall(r"^## (\S+) \((.+)\)$", read("CHANGELOG.md"), re.MULTILINE)[0]
    assert newest == version == carrousel.__version__
    assert datetime.date.fromisoformat(date) <= datetime.date.today()


def test_the_instructions_tag_a_version_as_the_workflow_expects_it():
    (tag,) = re.findall(r"^git tag -a (\S+)", read("CONTRIBUTING.md"), re.MULTILINE)
    assert re.fullmatch(r"v\d+\.\d+\.\d+", tag)
    assert 'tags: ["v*"]' in read(".github/workflows/wheels.yml")
