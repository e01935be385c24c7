"""How long something lasts, as a person says it."""

import pytest

from mcp_scheduler.service.spans import span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.25, "0.25 s"),
        (1.5, "1.5 s"),
        (9.49, "9.5 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (599, "9 min 59 s"),
        (3600, "1 h"),
        (61358, "17 h 2 min"),
        (172800, "2 d"),
        (90061, "1 d 1 h"),
    ],
)
def test_a_span_has_two_units_at_most(seconds, text):
    assert span(seconds) == text
