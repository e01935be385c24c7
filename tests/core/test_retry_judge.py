from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_scheduler.core.events import Outcome
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.retry import CRASH_LIMIT, LOSS_LIMIT, backoff, judge
from mcp_scheduler.core.states import Cause, Reason, State
from mcp_scheduler.core.task import Retry, Status
from tests.core.builders import terms

ATTEMPT = AttemptId("a", 1)
UNCERTAIN = {Reason.LOST, Reason.CRASHED}
BAD = [reason for reason in Reason if reason is not Reason.YIELDED]
NEVER_NAMED = {Reason.POISONED, Reason.REJECTED, Reason.EXPIRED, Reason.CANCELLED}


def verdict(reason, *, retry=1, on=None, idempotent=False, **counters):
    asked = Retry(max_attempts=retry, jitter=0.0) if on is None else Retry(max_attempts=retry, jitter=0.0, on=on)
    status = Status(State.RUNNING, 0.0, number=1, **counters)
    return judge(terms(retry=asked, idempotent=idempotent), status, ATTEMPT, Outcome(reason))


@pytest.mark.parametrize(("reason", "idempotent"), list(product(BAD, (False, True))))
def test_without_retry_there_is_one_attempt_unless_an_idempotent_call_was_lost_or_crashed(reason, idempotent):
    repeated = idempotent and reason in UNCERTAIN
    assert verdict(reason, idempotent=idempotent).cause is (Cause.BACKOFF if repeated else Cause.FAILURE)


@pytest.mark.parametrize(("reason", "named"), list(product(BAD, (False, True))))
def test_a_reason_is_retried_exactly_if_it_is_named(reason, named):
    on = frozenset({reason} if named else set(Reason) - {reason})
    assert verdict(reason, retry=2, on=on).cause is (Cause.BACKOFF if named else Cause.FAILURE)


@pytest.mark.parametrize("reason", sorted(set(BAD) - UNCERTAIN - NEVER_NAMED))
def test_failures_are_bounded_by_max_attempts(reason):
    on = frozenset({reason})
    assert verdict(reason, retry=3, on=on, failures=1).cause is Cause.BACKOFF
    assert verdict(reason, retry=3, on=on, failures=2).cause is Cause.FAILURE


def test_losses_have_a_bound_of_their_own():
    assert verdict(Reason.LOST, retry=2, failures=1, losses=LOSS_LIMIT - 2).cause is Cause.BACKOFF
    last = verdict(Reason.LOST, retry=2, losses=LOSS_LIMIT - 1)
    assert (last.cause, last.reason, last.losses) == (Cause.FAILURE, Reason.LOST, LOSS_LIMIT)


@pytest.mark.parametrize("idempotent", [False, True])
def test_three_crashes_without_a_result_poison_a_task_however_much_it_may_be_retried(idempotent):
    last = verdict(Reason.CRASHED, retry=100, idempotent=idempotent, crashes=CRASH_LIMIT - 1)
    assert (last.cause, last.reason) == (Cause.FAILURE, Reason.POISONED)


def test_a_crash_counts_against_max_attempts_too():
    assert verdict(Reason.CRASHED, retry=2).cause is Cause.BACKOFF
    assert verdict(Reason.CRASHED, retry=2, crashes=1).cause is Cause.FAILURE


@pytest.mark.parametrize("reason", Reason)
def test_a_cancelled_task_is_never_tried_again(reason):
    on = frozenset(Reason)
    assert verdict(reason, retry=100, on=on, idempotent=True, cancel_requested=True).cause is Cause.CANCEL


def test_a_success_counts_even_where_the_cancel_came_too_late():
    assert verdict(None, cancel_requested=True).cause is Cause.SUCCESS


def test_a_success_keeps_the_counters_for_the_reader():
    found = verdict(None, failures=2, losses=1, crashes=1)
    assert (found.failures, found.losses, found.crashes) == (2, 1, 1)


@given(st.sampled_from(BAD), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_each_bad_end_is_counted_once_and_in_one_place(reason, failures, losses, crashes):
    found = verdict(reason, retry=100, failures=failures, losses=losses, crashes=crashes)
    assert found.failures + found.losses + found.crashes == failures + losses + crashes + 1


def test_a_call_that_gave_way_has_not_ended_badly():
    found = verdict(Reason.YIELDED, failures=2, losses=1)
    assert (found.cause, found.failures, found.losses, found.reason) == (Cause.YIELD, 2, 1, None)


def test_backoff_grows_by_the_factor_up_to_the_longest_wait():
    asked = Retry(delay=1.0, factor=3.0, max_delay=20.0, jitter=0.0)
    assert [backoff(asked, tries, ATTEMPT) for tries in (1, 2, 3, 4, 5)] == [1.0, 3.0, 9.0, 20.0, 20.0]


@given(
    st.floats(0, 86400), st.floats(1, 100), st.floats(0, 86400), st.floats(0, 1), st.integers(1, 107),
    st.integers(1, 10_000),
)  # fmt: skip
def test_jitter_stays_between_its_share_and_the_whole(delay, factor, longest, jitter, tries, number):
    """At the limits of what may be asked: 100 attempts, a factor of 100, five losses, three crashes."""
    asked = Retry(100, delay, factor, longest, jitter)
    full = backoff(Retry(100, delay, factor, longest, 0.0), tries, ATTEMPT)
    drawn = backoff(asked, tries, AttemptId("a", number))
    assert full * (1 - jitter) * 0.999 <= drawn <= full * 1.001


def test_jitter_is_the_same_in_every_replay_and_differs_between_attempts():
    asked = Retry(delay=100.0, max_delay=100.0, jitter=1.0)
    draws = [backoff(asked, 1, AttemptId(f"task-{number}", 1)) for number in range(100)]
    assert draws == [backoff(asked, 1, AttemptId(f"task-{number}", 1)) for number in range(100)]
    assert len({round(draw) for draw in draws}) > 50
