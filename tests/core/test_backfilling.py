"""The first that finds no room has a time and a place; others pass it only as far as that does not delay it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_scheduler.core.blocked import GRACE
from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.events import Group, Submitted
from mcp_scheduler.core.explain import explain
from mcp_scheduler.core.states import State
from mcp_scheduler.policies.order import FIFO
from mcp_scheduler.policies.weighing import BALANCED
from tests.core.builders import Stage, needs, terms


class Told:
    """Forecasts by target: the number at the end of its name, in seconds."""

    def expected(self, task, device_class="", /):
        _, _, seconds = task.terms.target.rpartition("_")
        return Expected(float(seconds), float(seconds)) if seconds.isdigit() else None

    def learn(self, *_, at_least=False):
        pass


def knowing(stage):
    stage.cluster.forecasts = Told()
    return stage


def work(seconds, cpus=1, **amounts):
    return terms(f"module.takes_{seconds}", needs=needs(cpus, **amounts))


def blocked_by_ten_seconds(policy=FIFO):
    """Three of four cpus are busy for ten seconds, and the whole node is wanted next."""
    stage = knowing(Stage(cpus=4, policy=policy))
    stage.submit("runs", work(10, cpus=3))
    stage.submit("wide", work(5, cpus=4))
    return stage


def test_what_ends_before_the_reservation_passes():
    stage = blocked_by_ten_seconds()
    stage.submit("short", work(9))
    assert stage.running == ["runs", "short"]


def test_what_would_outlast_it_waits():
    stage = blocked_by_ten_seconds()
    stage.submit("long", work(11))
    assert stage.running == ["runs"]


def test_what_nobody_knows_the_length_of_waits():
    stage = blocked_by_ten_seconds()
    stage.submit("unknown", terms("module.unknown"))
    assert stage.running == ["runs"]


def test_a_timeout_is_a_bound_as_good_as_a_forecast():
    stage = blocked_by_ten_seconds()
    stage.submit("limited", terms("module.limited", timeout=8.0))
    assert stage.running == ["runs", "limited"]


def test_what_the_reserved_task_does_not_need_is_free_for_long_work():
    stage = knowing(Stage(cpus=4, license=1, policy=FIFO))
    stage.submit("runs", work(10, cpus=3, license=1))
    stage.submit("wide", work(5, cpus=2, license=1))
    for name in ("long1", "long2", "long3"):
        stage.submit(name, work(100))
    assert stage.running == ["runs", "long1"]  # when `runs` ends, two cpus are wanted and three are free


def test_only_as_many_pass_as_the_reservation_leaves_room_for():
    stage = knowing(Stage(cpus=8, policy=FIFO))
    stage.submit("runs", work(10, cpus=6))
    stage.submit("wide", work(5, cpus=7))
    stage.submit("long1", work(100))
    stage.submit("long2", work(100))
    assert stage.running == ["runs", "long1"]  # eight less seven


def test_an_outlived_bound_doubles_so_that_others_may_go_on_passing():
    stage = blocked_by_ten_seconds()
    stage.wait(12)
    stage.submit("short", work(7))
    assert stage.running == ["runs", "short"]  # it is expected to end at 20 now


def test_a_round_is_made_when_the_bound_passes_though_nothing_happens():
    stage = blocked_by_ten_seconds()
    stage.submit("later", work(11))
    assert stage.cluster.next_due() is not None
    assert stage.cluster.next_due() <= stage.now + 10


def test_a_task_of_the_same_graph_may_pass_because_only_its_end_counts():
    stage = knowing(Stage(cpus=4, policy=BALANCED))
    stage.submit("runs", work(10, cpus=3))
    members = [
        stage.new("first", work(5, cpus=4), group="g"),
        stage.new("second", work(100), group="g"),
        stage.new("last", work(1), after="first second", group="g"),
    ]
    stage.turn(Submitted(members, Group("g", "", "graph", "ann", 3, stage.now)))
    assert stage.running == ["runs", "second"]


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from((None, 1, 3, 100)),
    st.lists(st.integers(1, 9), min_size=10, max_size=30),
    st.sampled_from((FIFO, BALANCED)),
)
def test_however_wrong_the_estimates_are_a_wide_task_that_is_first_starts_within_its_bound(said, runs, policy):
    """A stream of small ones, each said to take `said` seconds whatever it takes, must not starve it. From its first
    claim it waits at most GRACE times its promise or the mean run time, and for the end of what runs then."""
    stage = knowing(Stage(cpus=4, policy=policy))
    stage.cluster.pace.note(1.0)
    kind = work(said) if said is not None else terms("module.unknown")
    ends = {}
    longest = max(runs)

    def start_new():
        for name in stage.running:
            if name not in ends:
                ends[name] = stage.now + runs[len(ends) % len(runs)]

    stage.submit("s0", kind)
    start_new()
    stage.submit("wide", terms("module.wide_1", needs=needs(4)), priority=100)
    for number in range(1, 200):
        stage.submit(f"s{number}", kind)
        start_new()
        if stage.state("wide") is not State.QUEUED:
            return
        found = stage.cluster.blocked.get("wide")
        if found is not None:
            assert stage.now <= found.strict_at + longest
            assert found.strict_at - found.since <= GRACE * max(found.promise - found.since, longest)
        stage.now += 1
        for name in [name for name, at in ends.items() if at <= stage.now and name in stage.running]:
            stage.end(name, seconds=stage.now - stage.status(name).at)
    raise AssertionError("The wide task never started.")


def test_explain_names_the_reservation_and_the_terms_of_the_rank():
    stage = blocked_by_ten_seconds(policy=BALANCED)
    stage.submit("long", work(100))
    told = explain(stage.cluster, stage.task("wide"), stage.now)
    assert told.claim is not None
    assert told.claim[:2] == ("local", stage.now + 10)
    assert {"score", "ageing", "work"} <= told.rank.keys()
    assert told.seconds == (5.0, 5.0)
