"""Series for forecasting from tables: times found, rows sorted, even steps found or made."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import SHARED, error_of, fuzz, needs

from carrousel.data.resampling import AVERAGED, EMPTY
from carrousel.data.series import NO_TIME, read_series
from carrousel.data.tables.grouped_rows import MOVED
from carrousel.data.tables.open_table import open_table

arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'carrousel[tasks]'")
parquet = pytest.importorskip("pyarrow.parquet")

ETT = SHARED / "ett" / "ETTh1.csv.gz"
AIR_PASSENGERS = SHARED / "airpassengers" / "AirPassengers.csv"
SHOPS = (
    "unique_id,ds,y,price,city\nb,2020-01-01,5,1,Bonn\na,2020-01-01,1,2,Ulm\na,2020-01-02,2,2,\na,2020-01-03,,3,Ulm\n"
)


def read(tmp_path, content, **options):
    path = tmp_path / "data.csv"
    path.write_text(content)
    return read_series(open_table(path), **options)


def times_of(series):
    """All times of the first series, in words."""
    times = series.step.times(series.starts[0], series.lengths[0])
    return [str(time.astype("datetime64[s]")) for time in times.astype("datetime64[us]")]


# ---- real files -----------------------------------------------------------------------------------------------------


@needs(ETT)
def test_ett_needs_only_a_target():
    series = read_series(open_table(ETT), targets=["OT"])
    assert series.values.shape == (17_420, 7)
    assert series.columns == ("OT", "HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL")
    assert series.step.describe() == "1 hour"
    assert times_of(series)[-1] == "2018-06-26T19:00:00"
    assert series.skipped == {}
    assert read_series(open_table(ETT)).targets == ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")


@needs(AIR_PASSENGERS)
def test_air_passengers_needs_no_option():
    series = read_series(open_table(AIR_PASSENGERS))
    assert series.values[:3, 0].tolist() == [112, 118, 132]
    assert series.targets == ("Passengers",)
    assert series.step.describe() == "1 month"
    assert times_of(series)[-1] == "1960-12-01T00:00:00"


# ---- many series ----------------------------------------------------------------------------------------------------


def test_many_series_with_known_and_static_columns(tmp_path):
    series = read(tmp_path, SHOPS, targets=["y"], id="unique_id", known=["price"], static=["city"])
    assert series.names == ("b", "a")
    assert series.lengths.tolist() == [1, 3]
    assert series.columns == ("y", "price")
    assert series.values[:3].tolist() == [[5, 1], [1, 2], [2, 2]]
    assert np.isnan(series.values[3, 0])
    assert series.static == {"city": ("Bonn", "Ulm")}
    assert series.step.describe() == "1 day"
    assert series.is_date


def test_columns_that_are_not_named_are_known_only_up_to_now(tmp_path):
    series = read(tmp_path, "t,y,x,note\n1,5,6,fine\n2,7,8,\n", targets=["y"], ignore=["note"])
    assert (series.targets, series.known, series.others) == (("y",), (), ("x",))
    assert not series.is_date
    assert series.step.times(series.starts[0], 3).tolist() == [1, 2, 3]


def test_rows_are_sorted_and_this_is_said(tmp_path):
    series = read(tmp_path, "t,y\n3,30\n1,10\n2,20\n")
    assert series.values[:, 0].tolist() == [10, 20, 30]
    assert series.skipped == {MOVED: 3}


def test_parquet(tmp_path):
    path = tmp_path / "data.parquet"
    days = arrow.array(np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]"))
    parquet.write_table(arrow.table({"when": days, "y": [1, 2], "blob": [b"1", b"2"]}), path)
    series = read_series(open_table(path), targets=["y"], ignore=["blob"])
    assert times_of(series) == ["2020-01-01T00:00:00", "2020-01-02T00:00:00"]


# ---- the column of times --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("y,when\n1,2020-01-01\n2,2020-01-02\n", ("y",)),
        ("y,Time\n1,0\n2,5\n", ("y",)),
        ("y,number\n1,20200101\n2,20200102\n", ("y", "number")),  # as a number it is a value, unless it is called date
        ("y,date\n1,20200101\n2,20200102\n", ("y",)),
        ("date,updated,y\n2020-01-01,2020-01-02,1\n2020-01-02,2020-01-02,1\n", None),
    ],
)
def test_the_column_of_times_is_found(tmp_path, content, columns):
    options = {} if columns else {"ignore": ["updated"]}
    assert read(tmp_path, content, **options).columns == (columns or ("y",))


def test_a_year_is_a_time(tmp_path):
    series = read(tmp_path, "year,y\n1700,5\n1701,11\n")
    assert series.step.times(series.starts[0], 2).tolist() == [1700, 1701]


def test_without_times_rows_are_steps_and_this_is_said(tmp_path):
    series = read(tmp_path, "y,x\n1,2\n3,4\n")
    assert series.columns == ("y", "x")
    assert series.skipped == {NO_TIME: 1}
    assert series.step.describe() == "1"


def test_two_columns_of_dates(tmp_path):
    content = "start,end,y\n2020-01-01,2020-01-02,1\n2020-01-02,2020-01-03,2\n"
    assert "columns 'start' and 'end' could be the times: name one with --time" in error_of(read, tmp_path, content)
    assert read(tmp_path, content, time="end", ignore=["start"]).columns == ("y",)


# ---- steps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "step"),
    [
        (["2020-01-01", "2020-01-08", "2020-01-15"], "1 week"),
        (["2020-01-01 00:00", "2020-01-01 00:15", "2020-01-01 00:30"], "15 minutes"),
        (["2020-01-01 00:00:00", "2020-01-01 00:00:00.5", "2020-01-01 00:00:01"], "0.5 seconds"),
        (["2019-12-15", "2020-01-15", "2020-02-15"], "1 month"),
        (["2019-12-31", "2020-01-31", "2020-02-29", "2020-03-31"], "1 month"),
        (["2019-11-30", "2020-02-29", "2020-05-31"], "3 months"),
        (["2019-01-01", "2020-01-01", "2021-01-01"], "1 year"),
        (["0.1", "0.2", "0.3", "0.4"], "0.1"),
        (["10", "20"], "10"),
        (["5"], "1"),
    ],
)
def test_even_steps_are_found(tmp_path, times, step):
    series = read(tmp_path, "time,y\n" + "".join(f"{time},1\n" for time in times))
    assert series.step.describe() == step
    if series.is_date and len(times) > 1:
        found = [np.datetime64(time) for time in times_of(series)]
        assert found == [np.datetime64(time.replace(" ", "T")).astype("datetime64[s]") for time in times]


def test_uneven_steps_are_refused_with_their_rows(tmp_path):
    content = "id,ds,y\na,2020-01-01,1\na,2020-01-02,2\na,2020-01-05,3\na,2020-01-06,4\nb,2021-01-01,4\n"
    message = error_of(read, tmp_path, content, id="id")
    assert (
        "steps are not even: 2020-01-02 (line 3) is followed by 2020-01-05 (line 4), and most steps are 1 day"
        in message
    )
    assert "(1 of 3 steps are not): complete the rows with empty cells, or resample with --step 1d, or give" in message
    message = error_of(read, tmp_path, "date,y\n2020-01,1\n2020-02,1\n2020-03,1\n2020-05,1\n")
    assert "2020-03-01 (line 4) is followed by 2020-05-01 (line 5), and most steps are 1 month" in message
    assert "--step 1mo" in message


def test_rows_as_steps_whatever_their_times(tmp_path):
    series = read(tmp_path, "date,y\n2020-01-03,1\n2020-01-06,2\n2020-01-02,0\n", step="row")
    assert series.values[:, 0].tolist() == [0, 1, 2]
    assert series.step.times(0, 3).tolist() == [0, 1, 2]
    assert not series.is_date


def test_resampling_averages_and_leaves_gaps_missing_and_says_so(tmp_path):
    content = (
        "id,ds,y,x\na,2020-01-01 00:10,1,\na,2020-01-01 00:50,4,3\na,2020-01-01 03:00,5,6\nb,2020-01-02 00:59,7,8\n"
    )
    series = read(tmp_path, content, id="id", step="1h")
    assert np.nan_to_num(series.values, nan=-1).tolist() == [[2.5, 3], [-1, -1], [-1, -1], [5, 6], [7, 8]]
    assert series.lengths.tolist() == [4, 1]
    assert times_of(series)[0] == "2020-01-01T00:00:00"
    assert series.skipped == {AVERAGED: 1, EMPTY: 2}


def test_resampling_to_months_and_numbers(tmp_path):
    series = read(tmp_path, "date,y\n2019-12-31,1\n2020-01-01,2\n2020-01-31,4\n", step="1mo")
    assert series.values[:, 0].tolist() == [1, 3]
    assert times_of(series) == ["2019-12-01T00:00:00", "2020-01-01T00:00:00"]
    series = read(tmp_path, "t,y\n-3,1\n0,2\n9,4\n", step="10")
    assert series.values[:, 0].tolist() == [1, 3]
    assert series.starts.tolist() == [-10]


def test_resampling_agrees_with_a_loop(tmp_path):
    rng = np.random.default_rng(0)
    times = np.sort(rng.choice(5000, 400, replace=False))
    values = np.where(rng.random(400) < 0.2, np.nan, rng.standard_normal(400)).round(3)
    content = "t,y\n" + "".join(f"{t},{'' if np.isnan(y) else y}\n" for t, y in zip(times, values))
    series = read(tmp_path, content, step="7")
    expected = []
    for bin in range(times[0] // 7, times[-1] // 7 + 1):
        inside = [y for t, y in zip(times, values) if t // 7 == bin and not np.isnan(y)]
        expected.append(np.mean(inside) if inside else np.nan)
    np.testing.assert_allclose(series.values[:, 0], expected, rtol=1e-6)


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("t,y\n1,1\n2,1\n1,2\n", {}, "there is the time 1 twice, at line 2 and line 4: remove one of them"),
        ("t,y\n1,1\n2,cold\n", {}, "line 3, column 'y': 'cold' is not a number: correct it, leave the cell empty"),
        ("t,y\n1,1\n2,2\n", {"targets": ["z"]}, "has no column 'z' (--target): its columns are t, y"),
        ("t,y\n1,1\n2,2\n", {"known": ["z"]}, "has no column 'z' (--known z)"),
        ("t,y\n1,1\n2,2\n", {"targets": ["y"], "known": ["y"]}, "column 'y' is named by --target and by --known y"),
        ("t,y\n1,1\n2,2\n", {"step": "1h"}, "--step '1h' is not a step: give a whole number"),
        ("date,y\n2020-01-01,1\n", {"step": "0h"}, "--step '0h' is not a step: give 1h, 15min"),
        ("y\n1\n", {"step": "1h"}, "--step '1h' needs times, and"),
        ("t,y\n1,1\n1000000,2\n", {"step": "1"}, "--step 1 makes 1,000,000 steps of 2 rows: correct a time"),
        ("t,y\n", {}, "has no rows after its header"),
        ("when,y\n2020-01-01,1\n2020-01-02,2\n2O20-01-03,3\n", {}, "line 4, column 'when': '2O20-01-03' is not a time"),
        ("when,y\n2020-01-01,1\n2020-01-02\n", {}, "line 3 has 1 cell and the header 2"),
        ("when,y\n2020-01-01,1\n2020-01-02,2\n,3\n", {}, "line 4, column 'when': the time is missing"),
        (
            SHOPS.replace(",\na", ",Bonn\na"),
            {"id": "unique_id", "static": ["city"]},
            "has the static value 'Ulm' at line 3",
        ),
    ],
)
def test_what_is_wrong_is_described(tmp_path, content, options, message):
    assert message in error_of(read, tmp_path, content, **options)


def test_damaged_files_are_read_or_refused(tmp_path):
    path = tmp_path / "damaged.csv"
    content = b"date,y,x\n" + b"".join(b"2020-01-%02d,%d,%d\n" % (day, day, -day) for day in range(1, 31))
    assert fuzz(path, content, lambda: read_series(open_table(path), targets=["y"]), range(300)) > 100
