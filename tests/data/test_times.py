"""Dates as people write them, exactly; those that can be read in two ways are refused."""

from __future__ import annotations

import datetime

import pytest
from data_files import error_of

from carrousel.data.tables.columns import read_columns
from carrousel.data.tables.open_table import open_table

pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'carrousel[tasks]'")


def read(tmp_path, *times, time_format=None):
    path = tmp_path / "data.csv"
    path.write_text("t\n" + "\n".join(f'"{time}"' for time in times))
    return read_columns(open_table(path, delimiter=","), [], times=["t"], time_format=time_format).times["t"]


def spell(tmp_path, *times, **options):
    found = read(tmp_path, *times, **options)
    return [found.spell(value) for value in found.values.tolist()]


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2016-07-01", "2016-07-01"),
        ("2016-7-1 3:05", "2016-07-01 03:05:00"),
        ("2016/07/01 23:59:59", "2016-07-01 23:59:59"),
        ("2016-07-01T00:00:00.25", "2016-07-01 00:00:00.250000"),
        ("2016-07-01 00:00:00.123456789", "2016-07-01 00:00:00.123456"),
        ("2016-07-01 24:00", "2016-07-02"),
        ("2016-07-01T01:00:00Z", "2016-07-01 01:00:00"),
        ("2016-07-01 01:00:00+02:00", "2016-06-30 23:00:00"),
        ("2016-07-01 01:00:00-0330", "2016-07-01 04:30:00"),
        ("1949-01", "1949-01-01"),
        ("20160701", "2016-07-01"),
        ("31.12.2016 12:00", "2016-12-31 12:00:00"),
        ("12/31/2016 12:30 am", "2016-12-31 00:30:00"),
        ("12/31/2016 1:30 PM", "2016-12-31 13:30:00"),
        ("2016-02-29", "2016-02-29"),
        ("0001-01-01", "0001-01-01"),
    ],
)
def test_a_date_is_read_to_the_microsecond(tmp_path, text, date):
    assert spell(tmp_path, text) == [date]


@pytest.mark.parametrize("text", ["2016-02-30", "2015-02-29", "2016-13-01", "2016-07-01 25:00", "13:00 2016", "soon"])
def test_what_is_no_date_is_refused(tmp_path, text):
    assert f"data.csv line 2, column 't': '{text}' is not a time: give its form" in error_of(read, tmp_path, text)
    message = error_of(read, tmp_path, "2016-01-01", text)
    assert f"line 3, column 't': '{text}' is not a time: the rows before have one of another form" in message


def test_one_day_above_twelve_decides_the_order(tmp_path):
    assert spell(tmp_path, "01/02/2016", "13/02/2016") == ["2016-02-01", "2016-02-13"]
    assert spell(tmp_path, "01/02/2016", "02/13/2016") == ["2016-01-02", "2016-02-13"]


def test_a_day_above_twelve_after_many_blocks_decides_too(tmp_path):
    times = ["01/02/2016"] * 150_000 + ["02/13/2016"]
    assert spell(tmp_path, *times)[0] == "2016-01-02"


def test_dates_of_two_orders_are_refused(tmp_path):
    message = error_of(read, tmp_path, "02/02/2016", "01/02/2016")
    assert "all dates can be day/month/year and month/day/year, which differ first at line 3" in message
    assert "give --time-format, for example '%d/%m/%Y' or '%m/%d/%Y'" in message
    assert spell(tmp_path, "02/02/2016", "01/02/2016", time_format="%m/%d/%Y")[1] == "2016-01-02"
    assert spell(tmp_path, "02/02/2016", "03/03/2016") == ["2016-02-02", "2016-03-03"]


def test_a_format_of_ones_own(tmp_path):
    assert spell(tmp_path, "3 Mar 16", "4 Mar 16", time_format="%d %b %y") == ["2016-03-03", "2016-03-04"]
    assert spell(tmp_path, "1200 +0200", time_format="%H%M %z") == ["1900-01-01 10:00:00"]
    message = error_of(read, tmp_path, "3 Mar 16", "4 Mär 16", time_format="%d %b %y")
    assert "line 3, column 't': '4 Mär 16' is not a time: --time-format is '%d %b %y'" in message


def test_zones_are_in_all_rows_or_in_none(tmp_path):
    assert "line 3" in error_of(read, tmp_path, "2016-07-01 01:00Z", "2016-07-01 02:00")


def test_numbers_are_times(tmp_path):
    integers = read(tmp_path, "3", "-1", "1467331200000000001")
    assert integers.values.tolist() == [3, -1, 1467331200000000001]
    assert not integers.is_date
    assert read(tmp_path, "3", "0.5").values.tolist() == [3, 0.5]


def test_a_missing_time_is_refused(tmp_path):
    assert "line 3, column 't': the time is missing: complete it, or remove the row" in error_of(
        read, tmp_path, "3", " ", "4"
    )


def test_dates_agree_with_datetime(tmp_path):
    start = datetime.datetime(1890, 1, 1)
    dates = [start + datetime.timedelta(days=997 * day, seconds=7919 * day) for day in range(100)]
    for form in ("%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p"):
        found = read(tmp_path, *(date.strftime(form) for date in dates))
        assert [datetime.datetime.fromisoformat(found.spell(value)) for value in found.values.tolist()] == dates
