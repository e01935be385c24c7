"""Amounts as people say them."""

import pytest

from mcp_scheduler.service.compose import counted


@pytest.mark.parametrize(
    ("name", "amount", "text"),
    [
        ("cpus", 1000, "1 cpu"),
        ("cpus", 0, "0 cpus"),
        ("cpus", 1500, "1.5 cpus"),
        ("licence", 1000, "1 licence"),
        ("memory", 4 * 2**30, "4.0 GiB memory"),
    ],
)
def test_an_amount_has_its_name(name, amount, text):
    assert counted(name, amount) == text
