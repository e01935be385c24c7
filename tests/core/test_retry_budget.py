from mcp_scheduler.core.budget import KEPT, TOLD, RetryBudget
from mcp_scheduler.core.events import Action, Submitted
from mcp_scheduler.core.explain import explain
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Extras, Retry
from mcp_scheduler.service.alerts import alerts_of
from mcp_scheduler.service.choosing import lines_of
from tests.core.builders import Stage, terms

FLAKY = terms("shop.charge", retry=Retry(3, 0.1, jitter=0.0))


def stage(share=0.0, per_minute=0.0, burst=2, cpus=50):
    made = Stage(cpus)
    made.cluster.retry_budget = RetryBudget(share, per_minute, burst)
    return made


def submit(made, count, asked=FLAKY, **options):
    names = [f"t{made.cluster.next_seq + place}" for place in range(count)]
    made.turn(Submitted([made.new(name, asked, **options) for name in names]))
    return names


def fail(made, names, reason=Reason.ERROR):
    made.turn(*(made.ended(name, reason) for name in names))
    return [name for name in names if made.state(name) is State.RETRYING]


def test_a_function_that_always_fails_is_retried_only_so_often():
    made = stage(burst=2)
    names = submit(made, 10)
    assert fail(made, names) == names[:2]
    assert made.states(" ".join(names[2:])) == [State.FAILED] * 8


def test_who_gets_no_retry_is_told_why_and_what_to_do():
    made = stage(share=0.2, per_minute=10.0, burst=1)
    names = submit(made, 2)
    fail(made, names)
    status = made.status(names[1])
    assert status.reason is Reason.ERROR
    assert status.error == (
        "It ended: error. Not retried: shop.charge fails so often that its retries are used up (20 % of its first"
        " attempts and 10 a minute, 1 in a row). Mend what fails, then update_task retry."
    )


def test_a_person_may_have_it_run_again():
    made = stage(burst=1)
    names = submit(made, 2)
    fail(made, names)
    made.update(Action.RETRY, names[1])
    assert made.state(names[1]) is State.RUNNING


def test_first_attempts_add_a_share_of_a_retry_each():
    made = stage(share=0.25, burst=1)
    assert len(fail(made, submit(made, 1))) == 1
    once = submit(made, 4, terms("shop.charge"))
    made.turn(*(made.ended(name) for name in once))
    assert len(fail(made, submit(made, 2))) == 1


def test_an_attempt_that_gives_way_adds_its_share_once_however_often_it_does():
    made = stage(share=0.25, burst=1)
    assert len(fail(made, submit(made, 1))) == 1
    (long,) = submit(made, 1)
    for _ in range(8):
        made.end(long, Reason.YIELDED)
        assert made.state(long) is State.RUNNING
    made.end(long)
    key = (FLAKY.principal, FLAKY.target)
    assert made.cluster.retry_budget.left(key, made.now) == 0.25


def test_who_gives_way_goes_on_where_no_retry_is_left():
    made = stage(burst=1)
    fail(made, submit(made, 2))
    (long,) = submit(made, 1)
    made.end(long, Reason.YIELDED)
    assert made.state(long) is State.RUNNING
    assert made.status(long).failures == 0


def test_a_retry_that_succeeds_costs_nothing():
    made = stage(burst=1)
    for _ in range(5):
        (name,) = submit(made, 1)
        assert fail(made, [name])
        made.wait(1.0)
        made.end(name)
        assert made.state(name) is State.SUCCEEDED


def test_some_retries_are_allowed_every_minute():
    made = stage(per_minute=2.0, burst=2)
    fail(made, submit(made, 2))
    made.wait(30.0)
    assert len(fail(made, submit(made, 3))) == 1


def test_each_function_and_each_principal_has_a_budget_of_its_own():
    made = stage(burst=1)
    other, bob = terms("shop.refund", retry=3), terms("shop.charge", retry=3, principal="bob")
    for asked in (FLAKY, other, bob):
        assert len(fail(made, submit(made, 2, asked))) == 1


def test_what_was_lost_is_no_fault_of_the_function():
    made = stage(burst=1)
    names = submit(made, 10)
    assert fail(made, names, Reason.LOST) == names


def test_what_undoes_is_retried_as_it_says():
    made = stage(burst=1)
    made.turn(
        Submitted(
            [
                made.new("owner", terms("shop.buy"), extras=Extras(undo="undo")),
                made.new("undo", FLAKY, extras=Extras(undoes="owner", saga="owner")),
            ]
        )
    )
    made.end("owner", Reason.ERROR)
    for _ in range(2):
        assert fail(made, ["undo"])
        made.wait(1.0)


def test_alerts_and_explanations_show_the_budget():
    made = stage(burst=2)
    names = submit(made, 4)
    fail(made, names)
    (alert,) = alerts_of(made.cluster, made.now)
    assert alert == (
        "The retries of shop.charge (ann) are used up: 2 tasks failed without another attempt. Mend what fails, then"
        " update_task retry."
    )
    told = lines_of(explain(made.cluster, made.task(names[0]), made.now), made.now)
    assert "retries: its function has 0 of 2 left" in told
    assert not list(alerts_of(made.cluster, made.now + TOLD))


def test_only_the_latest_budgets_are_remembered():
    budget = RetryBudget(0.0, 0.0, 1)
    for number in range(KEPT + 1):
        assert budget.take(("ann", f"f{number}"), 0.0)
    assert len(budget.buckets) == KEPT
    assert not budget.take(("ann", f"f{KEPT}"), 0.0)
    assert budget.take(("ann", "f0"), 0.0)
