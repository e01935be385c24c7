"""A trace through the real decision: nothing is lost, nothing overbooked, and equal runs are equal."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_scheduler.core.check import check
from mcp_scheduler.core.policy import quantum_of
from mcp_scheduler.core.task import Kind, Needs
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.policies.order import FIFO
from mcp_scheduler.simulation import machines
from mcp_scheduler.simulation.estimates import estimate
from mcp_scheduler.simulation.experiment import compare, forecasts
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.run import Simulation
from mcp_scheduler.simulation.trace import demand, ordered
from tests.core.builders import needs
from tests.simulation.walks import gate

NODES = ("cpus=4,gpus=2,gpu_memory=100", "2*cpus=2")
SHAPES = (
    needs(1), needs(2), needs(4), needs(0), Needs(gpus=1), Needs(gpus=2), Needs(gpus=1, gpu_memory=40),
    Needs((), gpus=1, gpu_memory=60),
)  # fmt: skip
POLICIES = st.sampled_from(list(BUILT_IN.values()))
KINDS = ("exact", "requested", "constant:5", "noise:1", "learnt")


@st.composite
def traces(draw):
    jobs = []
    for number in range(draw(st.integers(1, 14))):
        earlier = [job.id for job in jobs]
        jobs.append(
            Job(
                f"j{number}",
                (jobs[-1].submit if jobs else 0.0) + draw(st.sampled_from((0.0, 0.0, 1.0, 7.0))),
                draw(st.sampled_from((0.0, 0.001, 1.0, 4.0, 30.0))),
                draw(st.sampled_from(SHAPES)),
                requested=draw(st.sampled_from((None, 3.0))),
                priority=draw(st.sampled_from((0, 5))),
                principal=draw(st.sampled_from(("ann", "bob"))),
                kind=draw(st.sampled_from((Kind.COMMAND, Kind.FUNCTION))),
                target=draw(st.sampled_from(("f", "g"))),
                after=tuple(draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True))) if earlier else (),
                deadline=draw(st.sampled_from((None, 40.0))),
                patience=draw(st.sampled_from((None, None, 0.0, 5.0))),
            )
        )
    return ordered("drawn", jobs, machines.parse(NODES))


@given(trace=traces(), policy=POLICIES, estimates=st.sampled_from(KINDS))
@gate(120)
def test_a_run_loses_no_job_and_overbooks_nothing(trace, policy, estimates):
    run = Simulation(trace, policy, forecasts(trace, estimates, 1), look=check).finish()
    assert run.records.keys() == {job.id for job in trace.jobs}
    gone = set()
    for record in run.records.values():
        job = record.job
        if record.done:
            assert record.took == pytest.approx(job.run)
            if not quantum_of(policy):  # else it may have stood still meanwhile
                assert record.ended - record.began == pytest.approx(job.run)
            assert record.began >= job.submit
            assert all(run.records[other].ended <= record.began for other in job.after)
        else:
            assert record.began is None
            assert job.patience is not None or gone.intersection(job.after), f"{job} was left for no reason."
            gone.add(job.id)
    if not quantum_of(policy):  # what stands still takes no room: the invariants above know that
        assert_room(run)


def assert_room(run):
    """At no moment does more run on a node, or on a device, than there is room for. Seen from the outside."""
    rooms = {machine.node.name: dict(machine.node.amounts) for machine in run.trace.machines}
    for at in sorted({record.began for record in run.records.values() if record.done}):
        now = [one for one in run.records.values() if one.done and one.began <= at < one.ended]
        for name, amounts in rooms.items():
            for resource, amount in amounts.items():
                used = sum(dict(one.job.needs.amounts).get(resource, 0) for one in now if one.node == name)
                assert used <= amount, f"{used} of {amount} {resource} of {name} at {at}."
        for device in {device for one in now for device in one.devices}:
            parts = [demand(replace(one.job.needs, gpus=1), 100)["gpus"] for one in now if device in one.devices]
            assert sum(parts) <= 1.0, f"{device} runs {parts} at {at}."


@given(trace=traces(), policy=POLICIES, estimates=st.sampled_from(KINDS))
@gate(20)
def test_equal_runs_are_equal(trace, policy, estimates):
    first, second = (Simulation(trace, policy, forecasts(trace, estimates, 7)).finish() for _ in range(2))
    assert first.records == second.records


def test_noise_depends_on_the_seed_and_the_job_alone():
    jobs = [Job("a", 0.0, 100.0), Job("b", 0.0, 100.0)]
    told = [estimate("noise:0.5", 1)(job) for job in (*jobs, *reversed(jobs))]
    assert told[0] == told[3] != told[1] == told[2]
    assert estimate("noise:0.5", 2)(jobs[0]) != told[0]
    assert estimate("noise:0", 1)(jobs[0]) == pytest.approx(100.0)


@pytest.mark.parametrize("name", ["", "exactly", "constant", "constant:0", "constant:inf", "noise:-1", "noise:x"])
def test_an_unknown_kind_of_estimate_is_refused(name):
    with pytest.raises(InvalidRequest) as refused:
        estimate(name)
    assert "constant:SECONDS" in refused.value.hint


def test_a_job_that_never_ends_is_left_running_and_one_that_never_fits_is_left_waiting():
    endless = Job("endless", 0.0, float("inf"), needs(2))
    huge = Job("huge", 0.0, 1.0, needs(64))
    trace = ordered("few", [endless, huge], machines.parse(["cpus=2"]))
    [outcome] = compare([trace], [FIFO], "exact")
    records = outcome.runs[0].records
    assert (records["endless"].began, records["endless"].ended) == (0.0, None)
    assert records["huge"].began is None
    assert outcome.together["left"] == 1
    assert outcome.together["allocated.cpus"] == 1.0


def test_whoever_has_no_patience_is_offered_a_place_first():
    trace = ordered(
        "two",
        [Job("first", 0.0, 10.0, needs(1), patience=0.0), Job("second", 1.0, 10.0, needs(1), patience=0.0)],
        machines.parse(["cpus=1"]),
    )
    [outcome] = compare([trace], [FIFO], "exact")
    assert [record.done for record in outcome.runs[0].records.values()] == [True, False]
