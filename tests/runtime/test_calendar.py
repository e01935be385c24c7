"""Lines of cron: what they mean, in which zone, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.runtime.calendar import CronCalendar

CALENDAR = CronCalendar()


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def times(line: str, moment: str, count: int = 3) -> list[str]:
    found, when = [], at(moment)
    for _ in range(count):
        when = CALENDAR.after(line, when)
        assert when is not None
        found.append(datetime.fromtimestamp(when, UTC).strftime("%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    "line", ["0 3 * * * Europe/Berlin", "CRON_TZ=Europe/Berlin 0 3 * * *", "TZ=Europe/Berlin 0 3 * * *"]
)
def test_a_zone_stands_behind_the_line_or_before_it(line):
    assert times(line, "2026-01-05T00:00:00Z") == ["01-05 02:00", "01-06 02:00", "01-07 02:00"]


def test_a_fixed_time_that_daylight_saving_skips_comes_right_after_the_gap():
    assert times("30 2 * * * Europe/Berlin", "2026-03-28T12:00:00Z") == ["03-29 01:00", "03-30 00:30", "03-31 00:30"]


def test_a_fixed_time_that_daylight_saving_repeats_comes_once():
    assert times("30 2 * * * Europe/Berlin", "2026-10-24T12:00:00Z") == ["10-25 00:30", "10-26 01:30", "10-27 01:30"]


def test_in_the_repeated_hour_time_does_not_go_back():
    moment = at("2026-10-25T01:10:00Z")  # 02:10 for the second time
    assert CALENDAR.after("30 2 * * * Europe/Berlin", moment) == at("2026-10-26T01:30:00Z")


def test_an_hourly_line_comes_every_hour_whatever_the_clocks_do():
    assert times("0 * * * * Europe/Berlin", "2026-10-24T23:30:00Z", 4) == [
        "10-25 00:00", "10-25 01:00", "10-25 02:00", "10-25 03:00",
    ]  # fmt: skip


def test_names_stand_for_lines():
    assert times("@daily UTC", "2026-01-05T00:00:00Z", 2) == ["01-06 00:00", "01-07 00:00"]


def test_without_a_zone_it_is_this_machines(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    assert times("0 3 * * *", "2026-01-05T00:00:00Z", 1) == ["01-05 08:00"]


def test_the_usual_distance_of_its_times_is_its_period():
    now = at("2026-01-05T00:00:00Z")
    assert CALENDAR.check("0 3 * * * UTC", now) == 86400
    assert CALENDAR.check("*/15 9-17 * * 1-5 UTC", now) == 900


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 25 * * *", "Bad hour"), ("every day", "fields"), ("", "0 fields"), ("0 0 3 * * *", "6 fields"),
        ("0 3 * * * Europe/Berlinn", "no time zone 'Europe/Berlinn'"), ("0 0 30 2 *", "cannot be read"),
        ("0 3 * * * ../../etc/passwd", "fields"), ("CRON_TZ=/etc/passwd 0 3 * * *", "no time zone"),
    ],
)  # fmt: skip
def test_what_is_no_line_is_refused_with_the_right_form(line, says):
    with pytest.raises(InvalidRequest, match=says) as refused:
        CALENDAR.check(line, at("2026-01-05T00:00:00Z"))
    assert "Europe/Berlin" in (refused.value.hint or "")


def test_a_zone_that_is_gone_is_read_in_utc(caplog):
    assert times("0 3 * * * Atlantis/Poseidonis", "2026-01-05T00:00:00Z", 1) == ["01-05 03:00"]
    assert "Atlantis" in caplog.text
