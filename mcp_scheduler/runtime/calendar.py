"""Lines of cron as times. The one place that knows days, months and zones."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from statistics import median
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mcp_scheduler.errors import InvalidRequest

log = logging.getLogger("mcp_scheduler.calendar")

LOCALTIME: Final = "/etc/localtime"
FIELDS: Final = 5
_NAMED: Final = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip
_HINT: Final = (
    'Give minute, hour, day of the month, month, day of the week, and a zone if you like: "0 3 * * 1-5 Europe/Berlin".'
)
_LOOKED_AT: Final = 9  # times from which the usual distance is taken


class CronCalendar:
    """`core.recurring.Calendar`, as cron in Debian reads its lines.

    A line is `minute hour day month weekday`, or `@daily` and the like, with a zone behind it (`0 3 * * *
    Europe/Berlin`) or before it (`CRON_TZ=Europe/Berlin 0 3 * * *`); without a zone it means this machine's. A fixed
    time that daylight saving skips comes right after the gap, one that it repeats comes once.
    """

    def after(self, line: str, moment: float) -> float | None:
        """The first time of the line later than `moment`. A line was checked when it came in: if its zone is not known
        here any more, it is read in UTC rather than not at all."""
        expression, zone = _parts(line)
        try:
            where = _zone(zone)
        except InvalidRequest:
            log.warning("The zone of '%s' is not known on this machine: it is read in UTC.", line)
            where = UTC
        return _after(expression, where, moment)

    def check(self, line: str, now: float) -> float:
        """The usual distance of its times in seconds. `InvalidRequest` says what is wrong with a line."""
        from cronsim import CronSimError  # noqa: PLC0415 - loaded when the first line of cron comes

        expression, zone = _parts(line)
        where = _zone(zone)
        if len(expression.split()) != FIELDS:
            raise InvalidRequest(f"The cron line '{line}' has {len(expression.split())} fields, not 5.", hint=_HINT)
        times = [now]
        try:
            while len(times) <= _LOOKED_AT and (following := _after(expression, where, times[-1])) is not None:
                times.append(following)
        except CronSimError as error:
            raise InvalidRequest(f"The cron line '{line}' cannot be read: {error}.", hint=_HINT) from None
        if len(times) < 3:  # noqa: PLR2004 - now, and two times that have a distance
            raise InvalidRequest(f"The cron line '{line}' never comes again.", hint=_HINT)
        return median(later - earlier for earlier, later in pairwise(times[1:]))


def _parts(line: str) -> tuple[str, str]:
    """Expression and zone; "" for this machine's zone."""
    words = line.split()
    zone = ""
    if words and words[0].upper().startswith(("CRON_TZ=", "TZ=")):
        zone = words.pop(0).partition("=")[2]
    named = len(words) > 1 and words[0].startswith("@")
    if (named or len(words) == FIELDS + 1) and words[-1][:1].isalpha():
        zone = words.pop()
    if len(words) == 1:
        words = _NAMED.get(words[0].lower(), words[0]).split()
    return " ".join(words), zone


def _zone(name: str) -> tzinfo:
    name = name or os.environ.get("TZ", "").removeprefix(":")
    if name.upper() in ("UTC", "Z", "GMT"):
        return UTC
    if not name:
        return _local()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest(
            f"There is no time zone '{name}'.", hint="Give a name such as Europe/Berlin, America/New_York or UTC."
        ) from None


def _local() -> tzinfo:
    """This machine's zone, with its rules of daylight saving; UTC where it has none."""
    try:
        with open(LOCALTIME, "rb") as file:
            return ZoneInfo.from_file(file, "localtime")
    except (OSError, ValueError):
        return UTC


def _after(expression: str, zone: tzinfo, moment: float) -> float | None:
    from cronsim import CronSim  # noqa: PLC0415 - loaded when the first line of cron comes

    # In the hour that daylight saving repeats, the first time found may be before the moment: it has been then.
    times = (when.timestamp() for when in CronSim(expression, datetime.fromtimestamp(moment, zone)))
    return next((when for when in times if when > moment), None)
