"""Planted faults about nodes, GPUs, plans, stored results and the clock. The walks over many nodes notice each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mcp_scheduler.core import arrivals, copying, devices, draft, pins, placement, quarantine, recurring, warm
from mcp_scheduler.core.cluster import MICRO
from mcp_scheduler.core.seen import Health
from mcp_scheduler.core.states import State
from mcp_scheduler.store.memory import MemoryStore

Plant = Callable[[pytest.MonkeyPatch], None]


def unchecked(patch: pytest.MonkeyPatch) -> None:
    """The invariants of the core do not look: the world has to notice."""
    patch.setattr("tests.simulation.life.check", lambda _cluster: None)


def a_gang_starts_with_what_there_is(patch: pytest.MonkeyPatch) -> None:
    real = devices.Devices._gang

    def gang(self, states, needs, count, kept):
        return real(self, states, needs, count, kept) or real(self, states, needs, count - 1, kept)

    patch.setattr(devices.Devices, "_gang", gang)


def a_gpu_is_given_twice(patch: pytest.MonkeyPatch) -> None:
    real = devices.DeviceState.settle

    def settle(self):
        real(self)
        self.is_open_whole = self.seen.health is Health.OK and not self.withheld

    patch.setattr(devices.DeviceState, "settle", settle)
    unchecked(patch)


def parts_of_a_gpu_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(devices.Devices, "size", lambda *_: 0)


def drained_gpus_are_offered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(devices.Devices, "withhold", lambda *_: None)
    unchecked(patch)


def lost_gpus_are_offered(patch: pytest.MonkeyPatch) -> None:
    """What is not seen any more is taken to be as it was."""
    real = devices.DeviceState.look

    def look(self, seen):
        real(self, self.seen if seen.health is Health.LOST else seen)

    patch.setattr(devices.DeviceState, "look", look)


def work_on_a_lost_gpu_is_left_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(quarantine, "rescue", lambda *_: None)


def quarantine_withholds_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(quarantine, "_withhold", lambda *_: None)
    unchecked(patch)


def quarantines_are_forgotten_at_boot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(quarantine, "go_on", lambda *_: None)
    unchecked(patch)


def nobody_asks_a_warm_worker_to_go(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(warm, "evict", lambda *_: None)


def warm_workers_are_thought_gone(patch: pytest.MonkeyPatch) -> None:
    def vacate(cluster, slot):
        cluster.rooms[slot.node].devices.give_back(slot.id, gone=True)

    patch.setattr(warm, "vacate", vacate)
    unchecked(patch)


def the_end_of_a_warm_worker_is_not_heard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(warm, "gone", lambda *_: None)


def only_the_first_node_is_looked_at(patch: pytest.MonkeyPatch) -> None:
    def best_place(draft, task, until, this):
        room = next(iter(draft.cluster.rooms.values()))
        return placement.try_room(draft, task, room, until, this.claims)[0]

    patch.setattr(placement, "_best_place", best_place)


def copies_share_a_gpu(patch: pytest.MonkeyPatch) -> None:
    real = copying.try_room

    def try_room(draft, task, room, until, claims, _taken):
        return real(draft, task, room, until, claims)

    patch.setattr(copying, "try_room", try_room)


def planned_places_are_not_tried_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pins, "place", lambda *_: None)


def planned_places_are_waited_for_in_vain(patch: pytest.MonkeyPatch) -> None:
    """Those too that could not take the task."""
    patch.setattr(pins, "until", lambda _cluster, task, queued_at: queued_at + task.extras.pin_for)
    patch.setattr(pins, "awaits", lambda draft, task, _: pins.until(None, task, draft.status(task).at) > draft.now)


def planned_places_are_waited_for_too_long(patch: pytest.MonkeyPatch) -> None:
    real = pins.until
    patch.setattr(pins, "until", lambda *given: 10.0 * real(*given))


def what_few_ask_for_is_lost_on_the_way(patch: pytest.MonkeyPatch) -> None:
    real = draft.Draft.set_extras
    patch.setattr(
        draft.Draft, "set_extras", lambda self, task, extras: real(self, task, replace(extras, pin=(), inputs=""))
    )


def a_stored_result_does_not_end_its_task(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(arrivals, "_first_state", lambda _new: State.PENDING)


def whatever_ended_answers(patch: pytest.MonkeyPatch) -> None:
    """Failures, too."""

    async def equal(self, fingerprints):
        rows = self._in_order()
        return {row.task.digest: row.task.id for row in rows if row.task.digest in fingerprints and row.ended_at}

    patch.setattr(MemoryStore, "equal", equal)


def fences_go_back_with_the_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(draft.Draft, "_next_grant", lambda self: int(self.now * MICRO) / MICRO)


def missed_times_are_passed_over(patch: pytest.MonkeyPatch) -> None:
    real = recurring._following

    def following(extras, draft):
        found = real(replace(extras, catch_up="skip"), draft)
        return replace(found, catch_up=extras.catch_up)

    patch.setattr(recurring, "_following", following)


FAULTS_OF_PLACES: tuple[Plant, ...] = (
    a_gang_starts_with_what_there_is,
    a_gpu_is_given_twice,
    parts_of_a_gpu_are_not_counted,
    drained_gpus_are_offered,
    lost_gpus_are_offered,
    work_on_a_lost_gpu_is_left_alone,
    quarantine_withholds_nothing,
    quarantines_are_forgotten_at_boot,
    nobody_asks_a_warm_worker_to_go,
    warm_workers_are_thought_gone,
    the_end_of_a_warm_worker_is_not_heard,
    only_the_first_node_is_looked_at,
    copies_share_a_gpu,
    planned_places_are_not_tried_first,
    planned_places_are_waited_for_in_vain,
    planned_places_are_waited_for_too_long,
    what_few_ask_for_is_lost_on_the_way,
    a_stored_result_does_not_end_its_task,
    whatever_ended_answers,
    fences_go_back_with_the_clock,
    missed_times_are_passed_over,
)
