from itertools import product

import pytest

from mcp_scheduler.core.states import FINAL, TRANSITIONS, WAITING, Cause, State, advance
from mcp_scheduler.errors import InvariantBroken
from tests.core.builders import Stage

PAIRS = list(product(State, Cause))


@pytest.mark.parametrize(("state", "cause"), TRANSITIONS)
def test_a_lawful_pair_leads_where_the_table_says(state, cause):
    assert advance(state, cause) is TRANSITIONS[state, cause]


@pytest.mark.parametrize(("state", "cause"), [pair for pair in PAIRS if pair not in TRANSITIONS])
def test_an_unlawful_pair_raises_and_tells_the_story(state, cause):
    with pytest.raises(InvariantBroken, match=rf"state {state} cannot be moved by {cause}\. of task x"):
        advance(state, cause, "of task x")


def test_an_unlawful_move_changes_nothing():
    from mcp_scheduler.core.draft import Draft

    stage = Stage()
    stage.submit("a")
    draft = Draft(stage.cluster, stage.now)
    before = stage.status("a")
    with pytest.raises(InvariantBroken):
        draft.move(stage.task("a"), Cause.START)
    assert draft.status(stage.task("a")) is before
    assert not draft.changes
    stage.turn()  # and the stage still stands


def test_an_end_is_left_only_because_a_person_asks():
    causes = {cause for (state, cause) in TRANSITIONS if state in FINAL}
    assert causes == {Cause.RETRY}


def test_a_success_is_for_ever():
    assert not [cause for (state, cause) in TRANSITIONS if state is State.SUCCEEDED]


def test_only_queued_tasks_start():
    assert [state for (state, cause) in TRANSITIONS if cause is Cause.START] == [State.QUEUED]


def test_every_state_can_be_reached_and_every_waiting_one_can_be_cancelled():
    reached = {State.PENDING, *TRANSITIONS.values()}
    assert reached == set(State)
    assert all(TRANSITIONS[state, Cause.CANCEL] is State.CANCELLED for state in WAITING)
