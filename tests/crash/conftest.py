"""Fixtures of the crash tests."""

from __future__ import annotations

import pytest
from attacked import SETTINGS, Attacked

from campaigns.house import opened


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def settings():
    return SETTINGS


@pytest.fixture
def house(settings):
    """A house; when the test has passed and its engine was stopped, no process of it may be left."""
    with opened(settings) as made:
        yield Attacked(made)
        made.stop(force=True)
        assert not made.left_over()
