"""What each policy does to the order, seen from outside: who runs first."""

import pytest

from mcp_scheduler.core.events import Group, PolicyChosen, Submitted
from mcp_scheduler.core.policy import Sharing
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Extras
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.policies.catalogue import BUILT_IN, SUMMARIES, Policies
from mcp_scheduler.policies.guarded import Guarded, flaw_of
from mcp_scheduler.policies.order import PRIORITY
from tests.core.builders import Stage, needs, terms
from tests.core.test_backfilling import knowing, work


def order(stage, names):
    """Run everything one after the other."""
    for _ in range(names):
        for name in stage.running:
            stage.end(name, seconds=1.0)
    return stage.ran


class Recorder(Stage):
    """Remembers in which order tasks were started."""

    def __init__(self, *arguments, **options):
        self.ran = []
        super().__init__(*arguments, **options)

    def turn(self, *events):
        decision = super().turn(*events)
        self.ran += [attempt.id.task for attempt in decision.changes.started]
        return decision


def stage_of(name, **options):
    stage = knowing(Recorder(cpus=1, policy=BUILT_IN[name], **options))
    stage.submit("busy", work(1))
    return stage


def test_fifo_is_by_arrival_alone():
    stage = stage_of("fifo")
    stage.submit("a", work(100))
    stage.submit("b", work(1), priority=100)
    assert order(stage, 2) == ["busy", "a", "b"]


def test_round_robin_takes_a_task_of_each_principal_in_turn():
    stage = stage_of("round_robin")
    for name, principal in (("a1", "ann"), ("a2", "ann"), ("a3", "ann"), ("b1", "bob"), ("b2", "bob")):
        stage.submit(name, terms(principal=principal))
    assert order(stage, 5) == ["busy", "b1", "a1", "b2", "a2", "a3"]  # `busy` was ann's


def test_shortest_is_by_the_expected_time():
    stage = stage_of("shortest")
    for seconds in (50, 3, 700):
        stage.submit(f"t{seconds}", work(seconds))
    assert order(stage, 3) == ["busy", "t3", "t50", "t700"]


def test_balanced_is_by_the_expected_work_and_priority_doubles_it_by_ten_points():
    stage = stage_of("balanced", memory=100)
    stage.submit("large", work(10, memory=100))
    stage.submit("small", work(10))
    stage.submit("urgent", work(100), priority=40)
    assert order(stage, 3)[1:] == ["urgent", "large", "small"] or order(stage, 0)[1] == "urgent"


def test_waiting_brings_the_large_to_the_front():
    stage = stage_of("balanced")
    stage.submit("large", work(100))
    stage.now += 1e6
    for number in range(5):
        stage.submit(f"s{number}", work(50))
    stage.end("busy", seconds=1.0)
    assert stage.running == ["large"]


def test_the_tasks_of_a_graph_go_by_what_hangs_on_them():
    stage = stage_of("balanced")
    members = [
        stage.new("leaf", work(1), group="g"),
        stage.new("root", work(5), group="g"),
        stage.new("next", work(50), after="root", group="g"),
    ]
    stage.turn(Submitted(members, Group("g", "", "graph", "ann", 3, stage.now)))
    assert order(stage, 4) == ["busy", "root", "next", "leaf"]
    assert not stage.cluster.plans


def test_edf_is_by_deadline_and_passes_over_what_cannot_be_met():
    stage = stage_of("edf")
    for name, seconds, deadline in (("none", 1, None), ("late", 50, 20), ("b", 5, 60), ("a", 5, 40)):
        new = stage.new(name, work(seconds))
        new.task.deadline = None if deadline is None else stage.now + deadline
        stage.turn(Submitted([new]))
    assert order(stage, 4) == ["busy", "a", "b", "none", "late"]


def test_balanced_starts_what_would_be_late_before_all_others():
    stage = stage_of("balanced")
    new = stage.new("urgent", work(100))
    new.task.deadline = stage.now + 120
    stage.turn(Submitted([stage.new("short", work(1)), new]))
    stage.end("busy", seconds=1.0)
    assert stage.running == ["urgent"]


def test_rate_monotonic_is_by_period():
    stage = stage_of("rate_monotonic")
    for name, period in (("none", 0.0), ("slow", 60.0), ("fast", 10.0)):
        new = stage.new(name)
        new.task.extras = Extras(every=period, over=True)
        stage.turn(Submitted([new]))
    assert order(stage, 3) == ["busy", "fast", "slow", "none"]


def test_two_principals_of_ten_to_one_load_get_equal_shares_under_fair_share():
    """Jain's index of what each has used, in saturation."""
    stage = knowing(Stage(cpus=4, policy=BUILT_IN["fair_share"]))
    used = {"ann": 0.0, "bob": 0.0}
    ends = {}

    def fill(principal, count, number=[0]):  # noqa: B006 - counts over all calls
        for _ in range(count):
            number[0] += 1
            stage.submit(
                f"{principal}-{number[0]}", terms(f"module.{principal}_{3 + number[0] % 5}", principal=principal)
            )

    fill("ann", 50)
    fill("bob", 5)
    for _ in range(400):
        for name in stage.running:
            ends.setdefault(name, stage.now + int(stage.task(name).terms.target.rpartition("_")[2]))
        stage.now = min(ends[name] for name in stage.running)
        for name in [name for name in stage.running if ends[name] <= stage.now]:
            seconds = int(stage.task(name).terms.target.rpartition("_")[2])
            principal = stage.task(name).terms.principal
            used[principal] += seconds
            stage.end(name, seconds=seconds)
            fill(principal, 1)
    jain = sum(used.values()) ** 2 / (2 * sum(value**2 for value in used.values()))
    assert jain >= 0.99


def test_tags_of_a_principal_share_too():
    stage = Recorder(cpus=1, policy=BUILT_IN["fair_share"])
    for number in range(6):
        new = stage.new(f"a{number}")
        new.task.tags = ("many",)
        stage.turn(Submitted([new]))
    new = stage.new("b")
    new.task.tags = ("one",)
    stage.turn(Submitted([new]))
    stage.end("a0", seconds=5.0)
    assert stage.running == ["b"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_policy_can_be_chosen_while_tasks_wait(name):
    stage = Recorder(cpus=1)
    stage.turn(Submitted([stage.new(f"t{number}", terms(f"m.f{number}"), priority=number) for number in range(5)]))
    stage.turn(PolicyChosen(BUILT_IN[name]), Submitted([stage.new("new")]))
    assert stage.cluster.policy.name == name
    order(stage, 6)
    assert {task.status.state for task in stage.cluster.tasks.values()} == {State.SUCCEEDED}


def test_every_policy_has_a_line_that_says_what_it_does():
    assert BUILT_IN.keys() == SUMMARIES.keys()


# --- deadlines


def test_what_still_waits_at_its_deadline_expires_and_what_runs_goes_on():
    stage = Stage(cpus=1)
    for name in ("runs", "waits"):
        new = stage.new(name)
        new.task.deadline = stage.now + 10
        stage.turn(Submitted([new]))
    stage.submit("after", after="waits")
    assert stage.cluster.next_due() == stage.now + 10
    stage.wait(10)
    assert stage.states("runs waits after") == [State.RUNNING, State.FAILED, State.SKIPPED]
    assert stage.status("waits").reason is Reason.EXPIRED


def test_late_tasks_run_where_that_is_wanted():
    stage = Stage(cpus=1)
    stage.cluster.expires = False
    stage.submit("runs")
    new = stage.new("waits")
    new.task.deadline = stage.now + 10
    stage.turn(Submitted([new]))
    stage.wait(20)
    stage.end("runs")
    assert stage.running == ["waits"]


# --- policies of other packages


class Newest:
    name = "newest"
    ages = by_graph = by_deadline = False
    sharing = Sharing.NONE

    def rank(self, kind, since, deadline, scene):
        return -since

    def terms(self, kind, since, deadline, scene):
        return {"since": f"{since}"}


def test_a_policy_of_another_package_decides():
    assert flaw_of("newest", Newest()) == ""
    stage = Recorder(cpus=1, policy=Guarded(Newest()))
    stage.submit("busy")
    for number in range(3):
        stage.now += 1
        stage.submit(f"t{number}", terms(f"m.f{number}"))
    assert order(stage, 3) == ["busy", "t2", "t1", "t0"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "other"}, "its name is 'other'"),
        ({"ages": 1}, "`ages` is no bool"),
        ({"rank": None}, "no method `rank`"),
        ({"rank": lambda *_: "first"}, "'first', no number"),
        ({"rank": lambda *_: 1 / 0}, "ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_a_policy_of_another_package_is_told(change, told):
    made = Newest()
    for name, value in change.items():
        setattr(made, name, value)
    flaw = flaw_of("newest", made)
    assert told in flaw
    with pytest.raises(InvalidRequest, match="cannot be used"):
        Policies(flaws={"newest": flaw}).find("newest")


def test_a_policy_that_raises_is_replaced_by_priority_and_that_is_told():
    made = Newest()
    guarded = Guarded(made)
    made.rank = lambda *_: 1 / 0
    stage = Recorder(cpus=1, policy=guarded)
    stage.submit("busy")
    stage.submit("a", terms("m.a"))
    stage.submit("b", terms("m.b"), priority=9)
    assert order(stage, 2) == ["busy", "b", "a"]
    assert "newest raised ZeroDivisionError" in guarded.trouble


def test_there_is_no_policy_of_an_unknown_name():
    with pytest.raises(InvalidRequest, match="There is no policy 'best'"):
        Policies().find("best")
    assert Policies().find("priority") is PRIORITY


def test_needs_of_nothing_share_nothing():
    stage = Stage(cpus=2)
    assert stage.cluster.floor.share(needs(1)) == 0.5
    assert stage.cluster.floor.share(needs(0)) < 1e-3
