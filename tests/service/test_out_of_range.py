"""Numbers that nobody can count with are refused as such, and are no defect."""

import pytest
from pydantic import ValidationError

from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.requests import NeedsSpec, needs_of
from mcp_scheduler.service.looking import page_before
from mcp_scheduler.service.terms import moment

MANY = "9" * 400


@pytest.mark.parametrize("field", ["memory", "gpu_memory"])
@pytest.mark.parametrize("amount", [MANY, f"{MANY}TB", int(MANY), "2000000TiB"])
def test_memory_beyond_all_machines_is_refused(field, amount):
    with pytest.raises(ValidationError, match="less than or equal"):
        NeedsSpec.model_validate({field: amount})


@pytest.mark.parametrize("amount", [1e308, float("inf"), float("nan"), int(MANY), -1])
def test_a_named_resource_has_a_bound(amount):
    with pytest.raises(InvalidRequest, match=r"needs\.license is"):
        needs_of(NeedsSpec.model_validate({"license": amount}))


@pytest.mark.parametrize("given", [1e308, -1e308, float("nan"), MANY, f"{MANY}s", 1e12])
def test_a_time_that_is_no_date_is_refused(given):
    with pytest.raises(InvalidRequest, match="start_after is"):
        moment(given, 1e9, "start_after")


@pytest.mark.parametrize("cursor", [MANY, "x", "-1"])
def test_a_cursor_that_was_never_given_is_none(cursor):
    with pytest.raises(InvalidRequest, match="is no cursor"):
        page_before(cursor)
