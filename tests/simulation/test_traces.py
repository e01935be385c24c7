"""Traces are read as their formats say, and what is wrong with a file is told."""

import gzip
import io
import json
import tarfile

import pytest

from mcp_scheduler.core.task import Kind
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.simulation import machines
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.readers import read
from mcp_scheduler.simulation.trace import capacity, ordered
from mcp_scheduler.simulation.windows import starts, windows

SWF = """\
; MaxProcs: 128
; Note: made up
1 10 -1 60 4 -1 -1 8 120 -1 1 7 -1 3 -1 -1 -1 -1
2  5 -1 30 2 -1 -1 -1 -1 -1 1 -1 -1 -1 -1 -1 -1 -1
3 20 -1 -1 2 -1 -1 -1 -1 -1 0 -1 -1 -1 -1 -1 -1 -1
"""
RCP = """\
4 2
3 2
0 0 0 2 2 3
5 2 1 1 4
4 3 0 1 4
0 0 0 0
"""
NODES = "sn,cpu_milli,memory_mib,gpu,model\nn0,32000,1024,2,T4\nn1,64000,2048,0,\n"
PODS = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time
a,4000,512,1,460,,LS,Running,100,400,150
b,8000,0,2,1000,T4|P100,BE,Running,50,60,
c,1000,1,0,0,,BE,Pending,70,,
"""
OURS = {
    "format": "mcp-scheduler-trace/1",
    "nodes": [{"name": "n", "count": 2, "cpus": 4, "memory": "8GB", "gpus": 1, "gpu_memory": "16GB", "device": "T4"}],
    "jobs": [
        {"id": "a", "run": "1m", "function": "tools.load", "needs": {"gpu_memory": "4GB"}},
        {"id": "b", "submit": 5, "run": 10, "after": ["a"], "deadline": 60, "requested": 20, "priority": 3},
    ],
}
AFTER_A = {"id": "b", "run": 1, "after": ["a"]}


def written(folder, name, text):
    path = folder / name
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return path


def packed(folder, files):
    path = folder / "all.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def test_a_standard_workload_is_read_by_arrival_with_what_was_asked_for(tmp_path):
    path = tmp_path / "some.swf.gz"
    path.write_bytes(gzip.compress(SWF.encode()))
    [trace] = read(path)
    late, early = trace.jobs[1], trace.jobs[0]
    assert (early.id, early.submit, early.run, early.needs.amounts) == ("job-2", 5.0, 30.0, (("cpus", 2000),))
    assert (early.requested, early.principal) == (None, "user")
    assert (late.needs.amounts, late.requested, late.principal) == ((("cpus", 8000),), 120.0, "user-7")
    assert (trace.skipped, capacity(trace.machines)) == (1, {"cpus": 128.0})


def test_a_project_is_read_with_its_resources_precedences_and_optimum(tmp_path):
    written(tmp_path, "j_1.rcp", RCP)
    written(tmp_path, "optimum.csv", "instance,optimum\nj_1,9\n")
    [trace] = read(tmp_path)
    assert [(job.run, job.after) for job in trace.jobs] == [
        (0.0, ()),
        (5.0, ("activity-1",)),
        (4.0, ("activity-1",)),
        (0.0, ("activity-2", "activity-3")),
    ]
    assert trace.jobs[1].needs.amounts == (("r1", 2000), ("r2", 1000))
    assert (capacity(trace.machines), trace.optimum) == ({"r1": 3.0, "r2": 2.0}, 9.0)


def test_pods_share_gpus_in_thousandths(tmp_path):
    [trace] = read(packed(tmp_path, {"x/node_list.csv": NODES, "x/pod_list.csv": PODS}))
    whole, shared = trace.jobs
    assert (shared.submit, shared.run, shared.needs.gpus, shared.needs.gpu_memory) == (100.0, 250.0, 1, 460)
    assert (whole.run, whole.needs.gpus, whole.needs.gpu_memory, whole.needs.device) == (10.0, 2, 0, "t4|p100")
    assert [device.total for device in trace.machines[0].devices] == [1000, 1000]
    assert trace.machines[0].devices[0].answers_to(whole.needs.device)
    assert trace.skipped == 1


def test_our_own_format_speaks_as_submit_task_does(tmp_path):
    [trace] = read(written(tmp_path, "own.json", OURS))
    first, second = trace.jobs
    assert (first.run, first.kind, first.target, first.needs.gpus) == (60.0, Kind.FUNCTION, "tools.load", 1)
    assert (second.kind, second.after, second.deadline, second.requested) == (Kind.COMMAND, ("a",), 65.0, 20.0)
    assert [machine.node.name for machine in trace.machines] == ["n-0", "n-1"]
    assert capacity(trace.machines) == {"cpus": 8.0, "memory": 16e9, "gpus": 2.0}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt", "", "cannot be told by its name"),
        ("a.swf", "1 2 3\n", "line 1 has 3 fields"),
        ("a.swf", SWF.replace("60", "x"), "line 3 is no SWF"),
        ("a.swf", "; MaxProcs: 4\n", "no job with a run time"),
        ("a.rcp", "4 2\n3 2\n0 0 0 2 2 3\n", "the numbers end too early"),
        ("a.csv", NODES, "has the lists"),
        ("a.json", "{}", "format: Field required"),
        ("a.json", {**OURS, "format": "other/9"}, "other/9"),
        ("a.json", {**OURS, "jobs": [{"id": "a", "run": 1, "after": ["z"]}]}, "which is not there"),
        ("a.json", {**OURS, "jobs": [{"id": "a", "run": 1}, {"id": "a", "run": 1}]}, "two jobs are called 'a'"),
        (
            "a.json",
            {**OURS, "jobs": [{"id": "a", "run": 1, "submit": 9}, {"id": "b", "run": 1, "after": ["a"]}]},
            "later",
        ),
        (
            "a.json",
            {**OURS, "jobs": [{"id": a, "run": 1, "after": [b]} for a, b in ("ab", "ba")]},
            "wait for each other",
        ),
        ("a.json", {**OURS, "jobs": [{"id": "a", "run": 1, "nedes": {}}]}, "jobs.0.nedes"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, name, text, told):
    with pytest.raises(InvalidRequest, match=told):
        read(written(tmp_path, name, text))


def test_nodes_are_written_in_a_line():
    first, second, third = machines.parse(["2*cpus=1.5,memory=1GiB", "gpus=2,gpu_memory=80GB,device=H100,license=3"])
    assert first.node.amounts == (("cpus", 1500), ("memory", 2**30))
    assert (second.node.name, third.node.name) == ("node-1", "node-2")
    assert third.node.amounts == (("license", 3000),)
    assert [device.label for device in third.devices] == ["h100", "h100"]
    assert third.devices[1].total == 80 * 10**9


@pytest.mark.parametrize("text", ["16", "x*cpus=4", "cpus=many", "cpus=-1", "memory=2XB", "gpus=-1", "cpus="])
def test_nodes_that_make_no_sense_are_refused_with_an_example(text):
    with pytest.raises(InvalidRequest) as refused:
        machines.parse([text])
    assert "cpus=256" in refused.value.hint


def test_windows_are_those_of_the_published_benchmark():
    """RandomState(gym's hash of seed 1).randint(1024, 10000 - 1024 - 1), ten times."""
    assert starts(10, 1024, 10_000, 1) == [1981, 2756, 4299, 8850, 3316, 2714, 5228, 7762, 4022, 7085]


def test_jobs_that_arrive_and_hang_together_are_a_graph_with_dependencies_first():
    jobs = [Job("c", 0.0, 1.0, after=("a", "b")), Job("a", 0.0, 1.0), Job("x", 0.0, 1.0), Job("b", 0.0, 1.0),
            Job("d", 5.0, 1.0, after=("c",))]  # fmt: skip
    found = ordered("some", jobs).jobs
    assert [job.id for job in found] == ["a", "b", "c", "x", "d"]
    assert len({job.group for job in found[:3]}) == 1
    assert [job.group for job in found[3:]] == ["", ""]


def test_a_part_of_a_trace_takes_what_came_before_to_be_over(tmp_path):
    [trace] = read(written(tmp_path, "own.json", OURS))
    [job] = trace.part(1, None).jobs
    assert (job.id, job.after) == ("b", ())
    with pytest.raises(InvalidRequest, match="cannot be drawn from 2"):
        windows(trace, "1x2", 1)
