"""The devices of a node: what is promised to whom, and which of them fit a task. Nothing is ever promised twice.

A tenant is whoever holds a reservation: a slot, or a warm worker that keeps its memory between two calls (`rest`).
Whoever places work asks `choose`, then `take`s; `observe` brings what the sensors saw since.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from mcp_scheduler.core.accounts import CONTEXT, Account, account, headroom, is_untouched
from mcp_scheduler.core.gangs import best_linked
from mcp_scheduler.core.obstacles import obstacle
from mcp_scheduler.core.seen import GpuSeen, Health
from mcp_scheduler.core.task import Needs
from mcp_scheduler.errors import InvariantBroken

_NOTHING: Final = frozenset[str]()
_WISHES: Final = 256  # answers to "which devices does this text mean" that are remembered
_NEVER: Final = -(2**63)


@dataclass(slots=True, eq=False)
class DeviceState:
    """A device and what is promised of it. `promises`: bytes per tenant, contexts included; `whole`: the tenant that
    has all of it; `idle`: tenants that only stay warm; `withheld`: why it is not offered, by cause; `gone`: owners
    that ended since the device was last seen; `baseline`: unexplained use before the first tenant; `was_seen`: by a
    sensor, and not only known to adopted work; `on_probation`: it is for one tenant at a time."""

    seen: GpuSeen
    promises: dict[str, int] = field(default_factory=dict[str, int])
    whole: str = ""
    idle: set[str] = field(default_factory=set[str])
    withheld: dict[str, str] = field(default_factory=dict[str, str])
    gone: set[str] = field(default_factory=set[str])
    baseline: int = 0
    was_seen: bool = False
    on_probation: bool = False
    account: Account = field(default_factory=Account)
    open_bytes: int = _NEVER  # what can be promised now to one more tenant
    is_open_whole: bool = False

    def look(self, seen: GpuSeen) -> None:
        """The device as it is now."""
        self.seen = seen
        self.was_seen = True
        self.gone.clear()
        unexplained = account(seen, self.promises).unexplained
        self.baseline = min(self.baseline, unexplained) if self.promises else unexplained
        self.settle()

    def settle(self) -> None:
        """Work out anew what can be promised."""
        if self.whole:
            self.promises[self.whole] = self.seen.total or 0
        self.account = account(self.seen, self.promises, self.baseline, self.gone)
        is_offered = self.seen.health is Health.OK and not self.withheld and not (self.on_probation and self.promises)
        has_figures = not self.seen.live or self.seen.free is not None
        self.open_bytes = self.account.free if is_offered and has_figures and not self.whole else _NEVER
        self.is_open_whole = is_offered and not self.promises and is_untouched(self.seen, self.gone)

    def without_idle(self) -> DeviceState:
        """As it would be if every idle tenant were gone."""
        busy = {tenant: promise for tenant, promise in self.promises.items() if tenant not in self.idle}
        whole = "" if self.whole in self.idle else self.whole
        other = replace(self, promises=busy, whole=whole, idle=set[str](), gone=self.gone | self.idle)
        other.settle()
        return other


class Devices:
    """All devices of a node. `context`: bytes added to each shared reservation for the tenant's CUDA context."""

    __slots__ = ("_held", "_matching", "_order", "context", "on_change", "states")

    def __init__(self, seen: Iterable[GpuSeen] = (), context: int = CONTEXT) -> None:
        self.context = context
        self.states: dict[str, DeviceState] = {}
        self._held: dict[str, tuple[str, ...]] = {}  # tenant → devices
        self._order: list[DeviceState] = []
        self._matching: dict[str, list[DeviceState]] = {}
        self.on_change: Callable[[], None] | None = None
        self.observe(seen)

    def clear(self) -> None:
        """All promises are void. What was seen stays, and so does what is withheld."""
        for tenant in list(self._held):
            self.give_back(tenant)

    # -- what is seen

    def observe(self, seen: Iterable[GpuSeen]) -> None:
        """What the sensors see now. A device that is not seen any more is lost; what is promised of it stays promised.
        One that was never seen stays silent."""
        found = {device.uuid: device for device in seen}
        for uuid, state in list(self.states.items()):
            if uuid in found:
                continue
            if not state.promises and not state.withheld and not state.on_probation:
                del self.states[uuid]
            elif state.was_seen:  # else adopted work has it, and it may well be there
                state.look(replace(state.seen, health=Health.LOST, why="The device is not there any more."))
        for uuid, device in found.items():
            state = self.states.get(uuid)
            if state is None:
                state = self.states[uuid] = DeviceState(device)
            state.look(device)
        self._sort()
        self._changed()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def _sort(self) -> None:
        """Discrete GPUs without a desktop first: somebody sits before the others."""
        self._order = sorted(
            self.states.values(),
            key=lambda state: (
                state.seen.unified,
                state.seen.shows_a_desktop,
                state.seen.index,
                state.seen.instance or 0,
                state.seen.uuid,
            ),
        )
        self._matching.clear()

    def withhold(self, uuid: str, cause: str, why: str) -> None:
        """Offer the device to nobody while this cause lasts (a drain, an orphan's tree, another home's engine)."""
        state = self._state(uuid)
        state.withheld[cause] = why
        state.settle()
        self._changed()

    def release(self, uuid: str, cause: str) -> None:
        """The cause is over."""
        state = self._state(uuid)
        state.withheld.pop(cause, None)
        state.settle()
        self._changed()

    def set_probation(self, uuid: str, *, on: bool) -> None:
        """Offer the device to one tenant at a time, or to as many as it has room for."""
        state = self._state(uuid)
        state.on_probation = on
        state.settle()
        self._changed()

    def tenants(self, uuid: str) -> tuple[str, ...]:
        state = self.states.get(uuid)
        return tuple(state.promises) if state else ()

    @property
    def ordered(self) -> Sequence[DeviceState]:
        """Every device, in the order in which they are given out."""
        return self._order

    @property
    def held(self) -> Collection[str]:
        """Everybody who has devices."""
        return self._held.keys()

    def held_by(self, tenant: str) -> tuple[str, ...]:
        return self._held.get(tenant, ())

    # -- asking

    def fits(self, needs: Needs, kept: AbstractSet[str] = _NOTHING) -> bool:
        """Whether the needs' devices are free now, without those that are `kept` for somebody else."""
        return not (needs.gpus or needs.gpu_memory) or self.choose(needs, kept) is not None

    def choose(self, needs: Needs, kept: AbstractSet[str] = _NOTHING) -> tuple[str, ...] | None:
        """The devices that a task with these needs would get now; None if there are not enough, () if it needs none.

        Whole devices: the best linked. Shared ones: those on which the least is left over.
        """
        count = needs.gpus or (1 if needs.gpu_memory else 0)
        if not count:
            return ()
        return self._chosen(self._candidates(needs.device), needs, count, kept)

    def _chosen(
        self, states: Sequence[DeviceState], needs: Needs, count: int, kept: AbstractSet[str]
    ) -> tuple[str, ...] | None:
        if count > 1:
            return self._gang(states, needs, count, kept)
        found: DeviceState | None = None
        for state in states:
            if state.seen.uuid in kept:
                continue
            if not needs.gpu_memory:
                if state.is_open_whole:
                    return (state.seen.uuid,)
            elif state.open_bytes >= self.size(state, needs) and (found is None or state.open_bytes < found.open_bytes):
                found = state
        return None if found is None else (found.seen.uuid,)

    def _gang(
        self, states: Sequence[DeviceState], needs: Needs, count: int, kept: AbstractSet[str]
    ) -> tuple[str, ...] | None:
        """All or nothing, of one kind. MIG instances never: a program sees only one of them."""
        kinds: dict[str, list[DeviceState]] = {}
        for state in states:
            if not state.seen.parent and state.seen.uuid not in kept and self._is_open(state, needs):
                kinds.setdefault(state.seen.variable, []).append(state)
        for members in kinds.values():
            if needs.gpu_memory:
                members.sort(key=lambda state: state.open_bytes)
                found = tuple(state.seen for state in members[:count]) if len(members) >= count else None
            else:
                found = best_linked([state.seen for state in members], count)
            if found:
                return tuple(device.uuid for device in found)
        return None

    def _is_open(self, state: DeviceState, needs: Needs) -> bool:
        return state.open_bytes >= self.size(state, needs) if needs.gpu_memory else state.is_open_whole

    def size(self, state: DeviceState, needs: Needs) -> int:
        """Bytes of the device that a task takes, its context included."""
        return needs.gpu_memory + self.context if state.seen.live else needs.gpu_memory

    def _candidates(self, wish: str) -> list[DeviceState]:
        """The devices that a task may mean. Declared ones only if it names them, or where there are no others."""
        found = self._matching.get(wish)
        if found is None:
            found = [state for state in self._order if state.seen.answers_to(wish)]
            if not wish and any(state.seen.live for state in found):
                found = [state for state in found if state.seen.live]
            if len(self._matching) >= _WISHES:
                self._matching.clear()  # they are users' texts: there is no end of them
            self._matching[wish] = found
        return found

    def could_ever_fit(self, needs: Needs) -> bool:
        """Whether there are such devices at all, whatever their state now."""
        count = needs.gpus or (1 if needs.gpu_memory else 0)
        return count <= len(self._large_enough(needs, count))

    def _large_enough(self, needs: Needs, count: int) -> list[DeviceState]:
        found: list[DeviceState] = []
        for state in self._candidates(needs.device):
            total = state.seen.total or 0
            usable = total - headroom(total) if state.seen.live else total
            is_part = count > 1 and state.seen.parent
            if not is_part and (not needs.gpu_memory or usable >= self.size(state, needs)):
                found.append(state)
        return found

    def usable(self, needs: Needs) -> list[DeviceState]:
        """The devices that could run such a task, now or later: large enough, well, and offered."""
        count = needs.gpus or (1 if needs.gpu_memory else 0)
        return [state for state in self._large_enough(needs, count) if state.seen.healthy and not state.withheld]

    def are_offered(self, uuids: Iterable[str]) -> bool:
        """Whether these are well, and may be given more work by whoever has them."""
        states = (self.states[uuid] for uuid in uuids)
        return all(state.seen.healthy and not state.withheld for state in states)

    def to_keep(self, needs: Needs, kept: AbstractSet[str] = _NOTHING) -> frozenset[str]:
        """Which devices to keep for a task that has to wait, so that smaller ones do not starve it: those that are
        free already, then those that will be. None where too few are healthy: keeping would help nobody."""
        count = needs.gpus or (1 if needs.gpu_memory else 0)
        usable = [state for state in self.usable(needs) if state.seen.uuid not in kept]
        if len(usable) < count:
            return _NOTHING
        usable.sort(key=lambda state: (not self._is_open(state, needs), len(state.promises)))
        return frozenset(state.seen.uuid for state in usable[:count])

    def to_evict(self, needs: Needs, kept: AbstractSet[str] = _NOTHING) -> tuple[str, ...]:
        """The idle tenants that stand in the way of these needs: when they are gone, the needs fit. () if that is
        not what is missing."""
        count = needs.gpus or (1 if needs.gpu_memory else 0)
        if not count or self.choose(needs, kept) is not None:
            return ()
        without = [state.without_idle() for state in self._candidates(needs.device)]
        chosen = self._chosen(without, needs, count, kept) or ()
        return tuple(dict.fromkeys(tenant for uuid in chosen for tenant in sorted(self.states[uuid].idle)))

    # -- promising

    def take(self, tenant: str, needs: Needs, kept: AbstractSet[str] = _NOTHING) -> tuple[str, ...]:
        """Promise devices to a tenant. Overbooking is a defect of the program: whoever proposed must have asked."""
        chosen = self.choose(needs, kept)
        if chosen is None:
            raise InvariantBroken(f"{tenant} was placed on devices, but none fit: {'; '.join(self.explain(needs))}")
        if tenant in self._held:
            raise InvariantBroken(f"{tenant} has devices already: {self._held[tenant]}.")
        self.seize(tenant, needs, chosen)
        return chosen

    def seize(self, tenant: str, needs: Needs, devices: Sequence[str]) -> None:
        """Promise these devices to work that runs on them already (adopted after a crash), fit or not."""
        for uuid in devices:
            state = self._state(uuid)
            if needs.gpu_memory:
                state.promises[tenant] = self.size(state, needs)
            else:
                state.whole = tenant
                state.promises[tenant] = state.seen.total or 0
            state.settle()
        if devices:
            self._held[tenant] = tuple(devices)
            self._changed()

    def give_back(self, tenant: str, *, gone: bool = False) -> None:
        """The tenant's promise ends. `gone`: all its processes have ended, so what was last seen of them is free."""
        for uuid in self._held.pop(tenant, ()):
            state = self.states[uuid]
            state.promises.pop(tenant, None)
            state.idle.discard(tenant)
            if state.whole == tenant:
                state.whole = ""
            if gone:
                state.gone.add(tenant)
            state.settle()
        self._changed()

    def rest(self, tenant: str) -> None:
        """A worker stays warm after its call: it keeps what it has in use, and no more; it may be evicted.

        Where its use is not known, it keeps its whole promise.
        """
        for uuid in self.held_by(tenant):
            state = self.states[uuid]
            in_use = state.account.allocated.get(tenant)
            if in_use is not None:
                state.promises[tenant] = in_use
                state.whole = "" if state.whole == tenant else state.whole
            state.idle.add(tenant)
            state.settle()
        self._changed()

    def rise(self, tenant: str, needs: Needs) -> bool:
        """A warm worker gets another call, on the devices it has. False, and nothing changes, if they do not fit."""
        held = self.held_by(tenant)
        alone = [self.states[uuid] for uuid in held]
        if not held or len(held) != (needs.gpus or 1) or not all(s.seen.answers_to(needs.device) for s in alone):
            return False
        for state in alone:
            others = {name: promise for name, promise in state.promises.items() if name != tenant}
            whole = "" if state.whole == tenant else state.whole
            probe = replace(state, promises=others, whole=whole, gone=state.gone | {tenant})
            probe.settle()
            if not self._is_open(probe, needs):
                return False
        for state in alone:
            state.idle.discard(tenant)
            state.whole = "" if state.whole == tenant else state.whole
        self.seize(tenant, needs, held)
        return True

    def _state(self, uuid: str) -> DeviceState:
        """The state of a device; one that nobody has seen yet is silent until it is."""
        state = self.states.get(uuid)
        if state is None:
            unseen = GpuSeen(uuid, 0, "", "", None, health=Health.SILENT, why="The device has not been seen yet.")
            state = self.states[uuid] = DeviceState(unseen)
            self._sort()
        return state

    # -- telling

    def stranded(self) -> Iterator[tuple[str, str, str]]:
        """(tenant, device, why) where a tenant's device is lost or broken: its work there will not come to an end."""
        for uuid, state in self.states.items():
            if state.seen.health in (Health.LOST, Health.QUARANTINED):
                for tenant in state.promises:
                    yield tenant, uuid, state.seen.why

    def uses(self) -> Iterator[tuple[str, str, int]]:
        """(tenant, device, bytes in use), for peaks. Where a lone tenant's processes cannot be told apart, its use is
        what has come to the device since before it was there."""
        for uuid, state in self.states.items():
            known: Mapping[str, int] = state.account.allocated
            for tenant in state.promises:
                if tenant in known:
                    yield tenant, uuid, known[tenant]
                elif len(state.promises) == 1 and state.account.unexplained > state.baseline:
                    yield tenant, uuid, state.account.unexplained - state.baseline

    def explain(self, needs: Needs) -> list[str]:
        """Why these needs do not fit now, a line a device; [] if they do."""
        if self.choose(needs) is not None:
            return []
        states = self._candidates(needs.device)
        if not states:
            wish = f" that answers to {needs.device!r}" if needs.device else ""
            return [f"there is no device{wish}"]
        return [f"{state.seen.short}: {obstacle(state, needs)}" for state in states]
