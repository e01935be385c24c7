"""What a dry run comes to: times, the shares that are reserved, and the energy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from mcp_scheduler.core.energy import Use, Watts, joules
from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.core.task import MILLI, Needs
from mcp_scheduler.plans import OutcomeView
from mcp_scheduler.simulation.dry_run import Forecourse, Run
from mcp_scheduler.simulation.snapshot import Snapshot


def outcome(taken: Snapshot, future: Forecourse, runs: Sequence[Run]) -> OutcomeView:
    """What this future is for these of its tasks."""
    ends = [run.end - taken.now for run in runs if run.end is not None]
    waits = [run.start - taken.now for run in runs if run.start is not None]
    makespan = max(ends, default=0.0)
    return OutcomeView(
        policy=future.policy,
        tasks=len(ends),
        without_end=len(runs) - len(ends),
        makespan=makespan,
        mean_end=sum(ends) / len(ends) if ends else 0.0,
        longest_wait=max([0.0, *waits]),
        utilisation=utilisation(taken, future, makespan),
        cut=future.cut,
    )


def utilisation(taken: Snapshot, future: Forecourse, makespan: float) -> dict[str, float]:
    """The parts of cpus and devices that are reserved within the makespan, whosever tasks they are. A command that
    stands still has none meanwhile."""
    sizes = {device.uuid: device.total or 0 for place in taken.places for device in place.devices}
    total = sum(dict(place.node.amounts).get("cpus", 0) for place in taken.places)
    cpus = devices = 0.0
    for run in future.runs.values():
        seconds = sum(max(0.0, end - max(begin, taken.now)) for begin, end in run.stints(taken.now + makespan))
        needs = run.task.terms.needs
        cpus += seconds * dict(needs.amounts).get("cpus", 0)
        devices += seconds * sum(_part(needs, sizes.get(uuid, 0)) for uuid in run.devices)
    found = {"cpus": cpus / (total * makespan)} if total and makespan else {}
    if sizes and makespan:
        found["devices"] = devices / (len(sizes) * makespan)
    return {name: round(share, 4) for name, share in found.items()}


def energy(taken: Snapshot, runs: Sequence[Run], watts: Watts) -> float:
    """The joules of these tasks, by the CPUs of each node and by each device; see `core.energy`. Of a device at work
    the driver's power limit counts, where it tells one."""
    total = 0.0
    for place in taken.places:
        here = [run for run in runs if run.node == place.node.name and run.end is not None]
        total += joules(_uses(here, _cpus), watts.cpu_idle, watts.cpu)
        for device in place.devices:
            users = [run for run in here if device.uuid in run.devices]
            uses = _uses(users, lambda needs, size=device.total or 0: _part(needs, size))
            total += joules(uses, watts.device_idle, watts_of(device, watts), ready=1.0)
    return total


def _uses(runs: Sequence[Run], amount: Callable[[Needs], float]) -> list[Use]:
    return [Use(begin, end, amount(run.task.terms.needs)) for run in runs for begin, end in run.stints(inf)]


def _cpus(needs: Needs) -> float:
    return dict(needs.amounts).get("cpus", 0) / MILLI


def watts_of(device: GpuSeen, watts: Watts) -> float:
    """What it draws at work."""
    return watts.device if device.power_limit is None else device.power_limit / 1000


def _part(needs: Needs, size: int) -> float:
    """Of a device that the task has: all of it, or what it shares."""
    return min(1.0, needs.gpu_memory / size) if needs.gpu_memory and size else 1.0
