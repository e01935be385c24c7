"""Planted faults: the decision with one rule taken out. The simulation has to notice each of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mcp_scheduler.core import (
    budget,
    cluster,
    conflicts,
    copies,
    decide,
    draft,
    endings,
    graph,
    leases,
    recurring,
    retry,
    slots,
    undoing,
    wishes,
)
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.states import State

Plant = Callable[[pytest.MonkeyPatch], None]


def no_fencing(patch: pytest.MonkeyPatch) -> None:
    """A report counts whatever its number is."""

    def current(self, attempt):
        task = self.task(attempt.task)
        running = task is not None and self.status(task).state is State.RUNNING
        if running and attempt not in self.cluster.slot_of:  # the report of another attempt is taken for this one's
            number = self.status(task).number
            for one in list(self.cluster.slot_of):
                if one == (attempt.task, number):
                    self.cluster.slot_of[attempt] = self.cluster.slot_of.pop(one)
                    slot = self.cluster.slots[self.cluster.slot_of[attempt]]
                    slot.attempts[attempt] = slot.attempts.pop(one)
        return task if running else None

    patch.setattr(draft.Draft, "current", current)


def no_capacity_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(slots.Room, "has_amounts", lambda *_: True)


def no_hold_on_reservations(patch: pytest.MonkeyPatch) -> None:
    """A slot is given back though others follow in it."""
    patch.setattr(slots.Slot, "takes", lambda *_: True)
    patch.setattr(slots.Room, "seize", lambda *_: None)


def ignored_backoff(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(retry, "backoff", lambda *_: 0.0)


def ignored_start_time(patch: pytest.MonkeyPatch) -> None:
    real = graph.settle_waiting

    def settle_waiting(draft, task):
        task.start_after = 0.0
        real(draft, task)

    patch.setattr(graph, "settle_waiting", settle_waiting)


def wishes_forgotten_at_boot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "resume", lambda _cluster: [])


def dependents_not_released(patch: pytest.MonkeyPatch) -> None:
    for module in (graph, endings, wishes):
        patch.setattr(module, "release_dependents", lambda *_: None)


def dependents_released_too_early(patch: pytest.MonkeyPatch) -> None:
    """Each task is taken to wait for one other at most."""
    real = Cluster.wait_for

    def wait_for(self, task, names):
        real(self, task, names)
        if names:
            self.missing[task.id] = 1

    patch.setattr(Cluster, "wait_for", wait_for)
    patch.setattr("tests.simulation.life.check", lambda _cluster: None)


def repeated_without_permission(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(retry, "_may_repeat", lambda *_: True)


def timeouts_forgotten_after_a_failed_commit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Cluster, "began", property(lambda _: {}, lambda _self, _value: None), raising=False)


def keys_kept_of_what_was_not_stored(patch: pytest.MonkeyPatch) -> None:
    """An idempotency key is taken before its task is durable."""
    patch.setattr(draft.Draft, "keys", property(lambda self: self.cluster.keys, lambda _self, _value: None))


def returned_work_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(endings, "returned", lambda *_: None)


def leases_lapse_though_they_were_renewed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leases, "renew", lambda draft, task, _seconds: draft.put(task, draft.status(task).copy()))


def fences_begin_anew_with_each_engine(patch: pytest.MonkeyPatch) -> None:
    """As a mere counter in memory would."""

    def next_grant(self):
        self.cluster.grants = getattr(self.cluster, "grants", 0) + 1
        return self.cluster.grants / 1_000_000

    patch.setattr(draft.Draft, "_next_grant", next_grant)


def reader_passes_a_waiting_writer(patch: pytest.MonkeyPatch) -> None:
    real = conflicts.Line.join

    def join(self, task, claim):
        if self.front and not self.writing and not claim.writes:
            self.front[task] = None
            return True
        return real(self, task, claim)

    patch.setattr(conflicts.Line, "join", join)


def writers_share(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conflicts.Line, "_lets_in", lambda *_: True)
    patch.setattr("tests.simulation.life.check", lambda _cluster: None)


def order_of_a_graph_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Tasks of a graph that conflict wait for each other only while they are queued."""
    patch.setattr(graph, "_open_before", lambda *_: ())


def order_lost_with_one_that_was_cancelled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(draft.Draft, "_bequeath", lambda *_: None)


def occurrence_doubled(patch: pytest.MonkeyPatch) -> None:
    """The recurrence is not handed on: whoever ends again makes another successor."""
    patch.setattr(recurring, "end_series", lambda *_: None)


def series_ends_by_itself(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recurring, "successors", lambda _draft: [])


def occurrence_before_its_time(patch: pytest.MonkeyPatch) -> None:
    real = recurring.next_time

    def next_time(extras, moment, calendar):
        return real(extras, moment, calendar) - extras.every

    patch.setattr(recurring, "next_time", next_time)


def undone_while_others_still_run(patch: pytest.MonkeyPatch) -> None:
    real = undoing._look

    def look(draft, key):
        found = draft.cluster.rollbacks.get(key)
        if found is not None and found.failed:
            found.open = 0
        real(draft, key)

    patch.setattr(undoing, "_look", look)
    patch.setattr("tests.simulation.life.check", lambda _cluster: None)


def undone_in_the_order_of_the_ends(patch: pytest.MonkeyPatch) -> None:
    real = undoing._in_order
    patch.setattr(undoing, "_in_order", lambda draft, found: real(draft, found)[::-1])


def the_order_of_the_ends_is_not_stored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(undoing, "succeeded", lambda *_: None)


def failed_without_undoing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(undoing, "_next_turn", lambda *_: False)


def rollbacks_forgotten_at_boot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cluster, "derived", lambda _tasks: {})
    patch.setattr("tests.simulation.life.check", lambda _cluster: None)


def retries_without_limit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(budget.RetryBudget, "take", lambda *_: True)


def failures_let_everybody_go_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(graph, "_breaks", lambda *_: False)


def the_failure_of_a_source_skips(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(graph, "_breaks", lambda state, _task, _name: state is not State.SUCCEEDED)


def nobody_is_told_to_stand_still(patch: pytest.MonkeyPatch) -> None:
    """The CPUs are given to others, and their owner runs on."""
    patch.setattr(draft.Draft, "pauses", property(lambda _: [], lambda _self, _value: None))


def nobody_is_told_to_go_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(draft.Draft, "continues", property(lambda _: [], lambda _self, _value: None))


def time_of_standing_still_counts(patch: pytest.MonkeyPatch) -> None:
    """A timeout does not know of it."""
    patch.setattr(decide.slicing, "is_over_time", lambda *_: True)


def places_kept_for_those_who_have_come(patch: pytest.MonkeyPatch) -> None:
    real = draft.Draft._leave

    def leave(self, task, old, new):
        kept = dict(self.cluster.coming.tasks)
        real(self, task, old, new)
        self.cluster.coming.tasks.update(kept)

    patch.setattr(draft.Draft, "_leave", leave)


def losers_are_not_stopped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copies, "won", lambda draft, task, _attempt: draft.cluster.copies.wanted.pop(task.id, None))
    patch.setattr("tests.simulation.life.check", lambda _cluster: None)


def losers_forgotten_at_boot(patch: pytest.MonkeyPatch) -> None:
    """Only what a person has asked for is stopped again by the next engine."""
    patch.setattr(decide, "_is_unwanted", lambda status: status.cancel_requested)
    patch.setattr("tests.simulation.life.check", lambda _cluster: None)


def the_success_of_a_loser_counts(patch: pytest.MonkeyPatch) -> None:
    def lost(draft, event):
        if event.attempt in draft.cluster.slot_of:
            draft.leave_slot(event.attempt)
            draft.end(event)

    patch.setattr(copies, "lost", lost)


def the_first_failure_fails_the_task(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copies, "goes_on", lambda *_: False)
    patch.setattr("tests.simulation.life.check", lambda _cluster: None)


def copies_follow_a_failure(patch: pytest.MonkeyPatch) -> None:
    def lacks(draft, task):
        living = draft.cluster.copies.living.get(task.id, ())
        return draft.status(task).state is State.RUNNING and 0 < len(living) < copies.most(task)

    patch.setattr(copies, "lacks", lacks)
    patch.setattr("tests.simulation.life.check", lambda _cluster: None)


def one_copy_too_many(patch: pytest.MonkeyPatch) -> None:
    real = copies.most
    patch.setattr(copies, "most", lambda task: real(task) + 1)
    patch.setattr("tests.simulation.life.check", lambda _cluster: None)


FAULTS: tuple[Plant, ...] = (
    no_fencing,
    no_capacity_check,
    no_hold_on_reservations,
    ignored_backoff,
    ignored_start_time,
    wishes_forgotten_at_boot,
    dependents_not_released,
    dependents_released_too_early,
    repeated_without_permission,
    timeouts_forgotten_after_a_failed_commit,
    keys_kept_of_what_was_not_stored,
    returned_work_is_lost,
    leases_lapse_though_they_were_renewed,
    fences_begin_anew_with_each_engine,
    reader_passes_a_waiting_writer,
    writers_share,
    order_of_a_graph_forgotten,
    order_lost_with_one_that_was_cancelled,
    occurrence_doubled,
    series_ends_by_itself,
    occurrence_before_its_time,
    undone_while_others_still_run,
    undone_in_the_order_of_the_ends,
    the_order_of_the_ends_is_not_stored,
    failed_without_undoing,
    rollbacks_forgotten_at_boot,
    retries_without_limit,
    failures_let_everybody_go_on,
    the_failure_of_a_source_skips,
    nobody_is_told_to_stand_still,
    nobody_is_told_to_go_on,
    time_of_standing_still_counts,
    places_kept_for_those_who_have_come,
    losers_are_not_stopped,
    losers_forgotten_at_boot,
    the_success_of_a_loser_counts,
    the_first_failure_fails_the_task,
    copies_follow_a_failure,
    one_copy_too_many,
)
