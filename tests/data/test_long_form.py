"""Sequences from tables in long form."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import error_of, fuzz
from hypothesis import given
from hypothesis import strategies as st

from carrousel.data.long_form import read_long_form
from carrousel.data.sequences import WITHOUT_LABEL
from carrousel.data.tables.grouped_rows import MOVED
from carrousel.data.tables.open_table import open_table

arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'carrousel[tasks]'")
parquet = pytest.importorskip("pyarrow.parquet")

PLAIN = "id,time,label,x,y\nb,1,up,1,10\nb,2,up,2,20\na,1,down,3,\n"


def read(tmp_path, content, **options):
    path = tmp_path / "data.csv"
    path.write_text(content)
    return read_long_form(open_table(path), **{"id": "id", "time": "time", "label": "label", **options})


def test_sequences_come_in_the_order_of_their_ids(tmp_path):
    found = read(tmp_path, PLAIN)
    assert found.values.dtype == np.float32
    assert found.values[:2].tolist() == [[1, 10], [2, 20]]
    assert found.values[2, 0] == 3
    assert np.isnan(found.values[2, 1])
    assert found.lengths.dtype == np.int64
    assert found.lengths.tolist() == [2, 1]
    assert found.labels == ("up", "down")
    assert found.names == ("id b", "id a")
    assert found.channels == ("x", "y")
    assert found.skipped == {}


def test_mixed_rows_are_grouped_and_sorted_by_time_and_this_is_said(tmp_path):
    found = read(tmp_path, "id,time,x\na,2020-01-02,2\nb,2020-01-01,5\na,2020-01-01,1\na,2020-01-10,3\n", label=None)
    assert found.values[:, 0].tolist() == [1, 2, 3, 5]
    assert found.lengths.tolist() == [3, 1]
    assert found.labels is None
    assert found.skipped == {MOVED: 2}


def test_without_a_time_rows_stay_in_the_order_of_the_file(tmp_path):
    found = read(tmp_path, "id,x\na,2\nb,5\na,1\n", label=None, time=None)
    assert found.values[:, 0].tolist() == [2, 1, 5]
    assert found.skipped == {}


def test_ids_are_text(tmp_path):
    found = read(tmp_path, "id,time,x\n007,1,1\n7,1,2\nNA,1,3\n", label=None)
    assert found.names == ("id 007", "id 7", "id NA")


def test_sequences_without_a_label_are_left_out_and_counted(tmp_path):
    found = read(tmp_path, "id,time,label,x\na,1,,1\nb,1,,2\nb,2,up,3\nc,1,,4\nd,1,down,5\n")
    assert found.values[:, 0].tolist() == [2, 3, 5]
    assert found.names == ("id b", "id d")
    assert found.labels == ("up", "down")
    assert found.lengths.tolist() == [2, 1]
    assert found.skipped == {WITHOUT_LABEL: 2}


def test_channels_can_be_named_or_left_out(tmp_path):
    assert read(tmp_path, PLAIN, channels=["y", "x"]).values[0].tolist() == [10, 1]
    assert read(tmp_path, PLAIN.replace("up", "1").replace("down", "0"), label=None).channels == ("label", "x", "y")
    assert read(tmp_path, PLAIN, label=None, ignore=["label"]).channels == ("x", "y")


def test_parquet(tmp_path):
    path = tmp_path / "data.parquet"
    parquet.write_table(
        arrow.table({"id": [7, 7, 8], "time": [2, 1, 1], "label": [0, 0, 1], "x": [1.0, 2.0, 3.0]}), path
    )
    found = read_long_form(open_table(path), id="id", time="time", label="label")
    assert found.values[:, 0].tolist() == [2, 1, 3]
    assert found.names == ("id 7", "id 8")
    assert found.labels == ("0", "1")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            "id,time,x\na,1,1\n\na,2,1\na,1,3\n",
            {"label": None},
            "data.csv: id 'a' has the time 1 twice, at line 2 and line 5: remove one of them, or correct its time",
        ),
        ("id,time,x\na,1,1\na,1,1\na,1,3\n", {"label": None}, "at line 2 and line 3 (2 rows in all repeat a time)"),
        (
            "id,time,label,x\na,1,,1\na,2,up,1\nb,1,up,1\na,3,down,1\n",
            {},
            "column 'label': 'a' has the label 'up' at line 3 and 'down' at line 5: give all rows",
        ),
        ("id,time,x\n,1,1\n", {"label": None}, "line 2, column 'id': the id is missing: complete it"),
        ("id,time,x\na,,1\n", {"label": None}, "line 2, column 'time': the time is missing"),
        ("id,time,x\n", {"label": None}, "has no rows after its header"),
        ("id,time\na,1\n", {"label": None}, "has no column left for --channels: its columns are id, time"),
        (PLAIN, {"label": None}, "line 2, column 'label': 'up' is not a number: correct it, leave the cell empty"),
        (PLAIN, {"id": "idx"}, "has no column 'idx' (--id): did you mean 'id'? its columns are"),
        (PLAIN, {"time": "id"}, "column 'id' is named by --id and by --time: name another for one of them"),
        (PLAIN, {"channels": ["x", "id"]}, "column 'id' is named by --channels and by --id"),
        (PLAIN, {"channels": ["z"]}, "has no column 'z' (--channels)"),
        (PLAIN, {"ignore": ["z"]}, "has no column 'z' (--ignore)"),
    ],
)
def test_what_is_wrong_is_described_with_its_rows(tmp_path, content, options, message):
    assert message in error_of(read, tmp_path, content, **options)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=1, unique=True))
def test_any_order_of_rows_gives_the_same_sequences(tmp_path_factory, rows):
    content = "id,time,x\n" + "".join(f"p{id},{time},{100 * id + time}\n" for id, time in rows)
    found = read(tmp_path_factory.mktemp("rows"), content, label=None)
    ids = list(dict.fromkeys(id for id, _ in rows))
    expected = [100 * id + time for id in ids for time in sorted(time for other, time in rows if other == id)]
    assert found.values[:, 0].tolist() == expected
    assert found.lengths.tolist() == [sum(other == id for other, _ in rows) for id in ids]


def test_damaged_files_are_read_or_refused(tmp_path):
    path = tmp_path / "damaged.csv"
    content = PLAIN.encode() + b"".join(b"c,%d,up,1,2\n" % time for time in range(30))
    refused = fuzz(
        path, content, lambda: read_long_form(open_table(path), id="id", time="time", label="label"), range(300)
    )
    assert refused > 100
