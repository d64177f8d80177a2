"""Tables in CSV and Parquet files as people have them, and the messages for those that cannot be read."""

from __future__ import annotations

import gzip
import sys

import numpy as np
import pytest
from data_files import SHARED, error_of, fuzz, needs

from carrousel.data.tables.columns import read_columns
from carrousel.data.tables.open_table import open_table

arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'carrousel[tasks]'")
parquet = pytest.importorskip("pyarrow.parquet")

ETT = SHARED / "ett" / "ETTh1.csv.gz"
PLAIN = "id,x,y\na,1,1.5\nb,2,-2e3\n"


def read(path, numbers=("x", "y"), texts=("id",), **options):
    return read_columns(open_table(path, **options), numbers, texts)


def write(tmp_path, content, encoding="utf-8"):
    path = tmp_path / "data.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


# ---- files as people have them --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (PLAIN, {}),
        (PLAIN.replace("\n", "\r\n"), {}),
        (PLAIN.replace("\n", "\r"), {}),
        (PLAIN.rstrip("\n"), {}),
        ("\ufeff" + PLAIN, {}),
        ("\n\n" + PLAIN.replace("\n", "\n\n"), {}),
        (PLAIN.replace(",", ";"), {}),
        (PLAIN.replace(",", "\t"), {}),
        (PLAIN.replace(",", "|"), {"delimiter": "|"}),
        (PLAIN.replace(",", ", ").replace(", 1.5", ",  1.5 "), {}),
        ('"id","x","y"\n"a","1","1.5"\n"b","2","-2e3"\n', {}),
        ("id;x;y\na;1;1,5\nb;2;-2e3\n", {"decimal": ","}),
        ("id;x;y;note, long\na;1;1.5;one, two\nb;2;-2e3;\n", {}),
        ('id,x,y,"a note\nof two lines"\na,1,1.5,"1\n2"\nb,2,-2e3,"say ""no"""\n', {}),
        (gzip.compress(PLAIN.encode()), {}),
        (gzip.compress(PLAIN[:12].encode()) + gzip.compress(PLAIN[12:].encode()), {}),
        (PLAIN.encode("utf-16"), {"encoding": "utf-16"}),
        (PLAIN.encode("utf-8-sig"), {"encoding": "utf-8-sig"}),
    ],
    ids=range(18),
)
def test_each_form_of_a_file_gives_the_same_table(tmp_path, content, options):
    columns = read(write(tmp_path, content), **options)
    assert columns.numbers.dtype == np.float32
    assert columns.numbers.tolist() == [[1, 1.5], [2, -2000]]
    ids = columns.texts["id"]
    assert [ids.words[code] for code in ids.codes] == ["a", "b"]


def test_other_encodings(tmp_path):
    path = write(tmp_path, "id,größe\né,1\n", "cp1252")
    columns = read(path, ("größe",), encoding="cp1252")
    assert columns.texts["id"].words == ("é",)
    message = error_of(read, path, ("größe",))
    assert "data.csv line 1, column 2: the name has bytes of another encoding" in message
    message = error_of(read, write(tmp_path, "id,x,y\na,1,2\ncaf\xe9,1,2\n", "latin-1"))
    assert "line 3, column 'id': 'caf\xe9' is not utf-8: give --encoding" in message
    assert "starts as a text in UTF-16" in error_of(read, write(tmp_path, PLAIN, "utf-16"))
    assert "--encoding klingon is not a text encoding" in error_of(read, path, encoding="klingon")
    assert "--encoding rot13 is not a text encoding" in error_of(read, path, encoding="rot13")


def test_missing_values_are_nan_and_ids_stay_text(tmp_path):
    path = write(tmp_path, "id,x,y\n007,,NA\n7,?,NaN\nNA,3,null\n")
    columns = read(path)
    assert np.isnan(columns.numbers).sum() == 5
    assert columns.texts["id"].words == ("007", "7", "NA")


def test_columns_come_in_the_order_that_was_asked_for(tmp_path):
    assert read(write(tmp_path, PLAIN), ("y", "x")).numbers.tolist() == [[1.5, 1], [-2000, 2]]


def test_a_column_without_a_name_is_called_by_its_number(tmp_path):
    table = open_table(write(tmp_path, ",x\n0,5\n1,6\n"))
    assert table.columns == ("column 1", "x")


def test_blocks_join_where_a_file_is_larger_than_one(tmp_path):
    rows = 200_000
    path = write(tmp_path, "id,x,y\n" + "".join(f"p{row % 7},{row},{row / 2}\n" for row in range(rows)))
    columns = read(path)
    assert path.stat().st_size > 2 << 20
    assert np.array_equal(columns.numbers[:, 0], np.arange(rows, dtype=np.float32))
    assert np.array_equal(columns.texts["id"].codes, np.arange(rows) % 7)


@needs(ETT)
def test_ett_reads_as_it_is():
    table = open_table(ETT)
    columns = read_columns(table, table.columns[1:], times=["date"])
    assert columns.numbers.shape == (17_420, 7)
    times = columns.times["date"]
    assert times.spell(times.values[-1]) == "2018-06-26 19:00:00"
    assert set(np.diff(times.values)) == {3_600_000_000}


# ---- bad files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,x,y\na,1,2\n\nb,cold,2\n", "line 4, column 'x': 'cold' is not a number: correct it, leave the cell empty"),
        ('id,x,y\n"a\nb",1,2\nb,1,0x10\n', "line 4, column 'y': '0x10' is not a number"),
        ("id,x,y\na,1,1_000\n", "line 2, column 'y': '1_000' is not a number"),
        ('id,x,y\na,1,"1,5"\n', r"line 2, column 'y': '1,5' is not a number: give --decimal ,"),
        ("id,x,y\na,1,2\nb,1\n", "line 3 has 2 cells and the header 3: 'b,1'; complete the line"),
        ("id,x,y\na,1,2\nb,1,2,3\n", "line 3 has 4 cells and the header 3"),
        ("id,x,y\na,1,1e39\n", "line 2, column 'y': 1e+39 is beyond float32"),
        ("id,x,y\na,1,2\nb,inf,2\n", "line 3, column 'x': inf is beyond float32"),
        ("id,x,x\na,1,2\n", "line 1: two columns are named 'x'"),
        ("1,2,3\n4,5,6\n", "line 1 holds numbers (1, 2, 3) and not the names of columns"),
        ("\n\n", "has no text"),
        ("a;b,c;d,e\n1;2,3;4,5\n", "comma and semicolon split the first lines into as many cells: give --delimiter"),
        (b"PK\x03\x04\x00\x00", "has a zero byte in its first lines"),
        (b"", "is empty: name a file"),
        (gzip.compress(PLAIN.encode() * 9, mtime=0)[:-9], "is damaged or incomplete (gzip"),
        (gzip.compress(b"", mtime=0), "has no text"),
        ('id,x,y\na,1,"2\n' + "b,1,2\n" * 400_000, "a quote may not be closed"),
    ],
    ids=lambda value: None if isinstance(value, bytes) or len(value) > 60 else value,
)
def test_a_bad_file_is_described(tmp_path, content, message):
    path = write(tmp_path, content)
    found = error_of(read, path)
    assert found.startswith(str(path))
    assert message in found


def test_what_is_no_file(tmp_path):
    assert "nothing.csv does not exist: check the name" in error_of(read, tmp_path / "nothing.csv")
    assert "is a directory: name a table in it" in error_of(read, tmp_path)
    path = write(tmp_path, PLAIN)
    assert "cannot be read: Not a directory" in error_of(read, path / "in it")


def test_bad_options(tmp_path):
    path = write(tmp_path, PLAIN)
    assert "--delimiter ';;' is not allowed" in error_of(read, path, delimiter=";;")
    assert "--decimal '_' is not allowed" in error_of(read, path, decimal="_")
    assert "',' cannot separate cells and be the decimal point too" in error_of(read, path, decimal=",")


def test_an_unknown_column_is_named_with_those_that_there_are(tmp_path):
    table = open_table(write(tmp_path, PLAIN))
    assert "has no column 'ID' (--id): did you mean 'id'? its columns are id, x, y" in error_of(
        table.require, "ID", "--id"
    )


def test_without_pyarrow_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.csv", None)
    path = write(tmp_path, PLAIN)
    assert "data.csv needs pyarrow, which is not installed: pip install 'carrousel[tasks]'" in error_of(read, path)


def test_damaged_csv_files_are_read_or_refused(tmp_path):
    content = ('id,x,y\n"a ""b"" é",1,1.5\n' + "b,2,-2e3\nc,,3\n" * 20).encode()
    path = tmp_path / "damaged.csv"
    assert fuzz(path, content, lambda: read(path), range(400)) > 100
    assert fuzz(path, gzip.compress(content, mtime=0), lambda: read(path), range(400)) > 300


# ---- Parquet --------------------------------------------------------------------------------------------------------


def write_parquet(tmp_path, **columns):
    path = tmp_path / "data.parquet"
    parquet.write_table(arrow.table(columns), path)
    return path


def test_parquet_columns_of_all_types_of_numbers(tmp_path):
    path = write_parquet(
        tmp_path,
        id=arrow.array(["a", "b", None]).dictionary_encode(),
        x=arrow.array([1, 2, None], arrow.int8()),
        y=arrow.array([1.5, None, float("nan")]),
        z=arrow.array([True, False, None]),
    )
    columns = read(path, ("x", "y", "z"))
    assert columns.texts["id"].words == ("a", "b", "")
    assert np.isnan(columns.numbers).sum() == 4
    assert columns.numbers[0].tolist() == [1, 1.5, 1]


def test_parquet_times(tmp_path):
    hours = np.array(["2020-01-01T00", "2020-01-01T01"], "datetime64[ns]")
    path = write_parquet(
        tmp_path,
        ns=arrow.array(hours),
        zone=arrow.array(hours).cast(arrow.timestamp("ns", "Europe/Paris")),
        day=arrow.array(hours).cast(arrow.date32()),
        step=arrow.array([3, 4]),
        text=arrow.array(["2020-01-01", "2020-01-02"]),
    )
    names = ["ns", "zone", "day", "step", "text"]
    times = read_columns(open_table(path), [], times=names).times
    spelled = {name: times[name].spell(times[name].values[1].item()) for name in names}
    assert spelled == {
        "ns": "2020-01-01 01:00:00",
        "zone": "2020-01-01 01:00:00",
        "day": "2020-01-01",
        "step": "4",
        "text": "2020-01-02",
    }


def test_parquet_columns_that_are_no_numbers(tmp_path):
    path = write_parquet(tmp_path, id=["a"], x=["cold"], y=[[1.0]])
    message = error_of(read, path, ("x",))
    assert "data.parquet row 1, column 'x' is of type string ('cold') and cannot be read as numbers" in message
    assert "column 'y' is of type list" in error_of(read, path, (), ("y",))


def test_damaged_parquet_files_are_read_or_refused(tmp_path):
    content = write_parquet(tmp_path, id=["a", "b"] * 50, x=list(range(100)), y=[0.5] * 100).read_bytes()
    path = tmp_path / "damaged.parquet"
    assert fuzz(path, content, lambda: read(path), range(300)) > 100
