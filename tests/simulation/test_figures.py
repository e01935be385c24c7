"""The figures of small runs, worked out by hand."""

import pytest

from mcp_scheduler.core.task import Needs
from mcp_scheduler.policies.order import FIFO
from mcp_scheduler.simulation import machines
from mcp_scheduler.simulation.experiment import compare, together
from mcp_scheduler.simulation.figures import KINDS, kind
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.plots import charts, page
from mcp_scheduler.simulation.samples import interval, jain, quantile
from mcp_scheduler.simulation.tables import markdown, shown
from mcp_scheduler.simulation.trace import Trace, ordered
from tests.core.builders import needs


def outcome(*jobs, nodes="cpus=2", estimates="exact", optimum=None):
    trace = ordered("by hand", jobs, machines.parse([nodes]))
    [found] = compare([Trace(trace.name, trace.jobs, trace.machines, optimum=optimum)], [FIFO], estimates)
    return found


def test_waits_slowdowns_and_the_makespan():
    """a has both cpus for 100 s, b waits for it for 90 s, c for 100 s."""
    found = outcome(
        Job("a", 0.0, 100.0, needs(2)), Job("b", 10.0, 20.0, needs(1)), Job("c", 0.0, 1.0, needs(1)), optimum=110.0
    ).together
    assert (found["wait_mean"], found["wait_max"]) == (pytest.approx(190 / 3), 100.0)
    assert found["slowdown_mean"] == pytest.approx((1.0 + 110 / 20 + 101 / 10) / 3)
    assert (found["slowdown_max"], found["slowdown1_max"]) == (pytest.approx(10.1), pytest.approx(101.0))
    assert found["starved"] == 0.0
    assert found["makespan"] == 120.0
    assert found["makespan_ratio"] == pytest.approx(120 / ((200 + 20 + 1) / 2))
    assert found["over_optimum"] == pytest.approx(120 / 110 - 1)
    assert found["utilisation.cpus"] == pytest.approx(221 / 240)


def test_energy_is_that_of_all_nodes_and_of_what_works_on_them():
    """Two cpus draw 3 W each for 100 s, and 9 W more at work; two GPUs 50 W each, and one 250 W more for 10 s."""
    found = outcome(Job("a", 0.0, 100.0, needs(1)), Job("b", 0.0, 50.0, needs(1))).together
    assert found["energy"] == pytest.approx((3 * 2 * 100 + 9 * 150) / 2 / 1000)
    whole = Needs(needs(1).amounts, gpus=1)
    found = outcome(Job("a", 0.0, 10.0, whole), nodes="cpus=1,gpus=2,gpu_memory=80GB").together
    assert found["energy"] == pytest.approx((12 * 10 + 50 * 2 * 10 + 250 * 10) / 1000)
    assert shown(found["energy"], "kJ") == "3.62 kJ"


def test_a_chain_bounds_the_makespan():
    found = outcome(Job("a", 0.0, 5.0), Job("b", 0.0, 5.0, after=("a",)), Job("c", 2.0, 5.0, after=("b",))).together
    assert (found["makespan"], found["makespan_ratio"]) == (15.0, 1.0)


def test_deadlines_are_missed_by_who_is_late_and_who_never_runs():
    found = outcome(
        Job("in time", 0.0, 5.0, needs(2), deadline=5.0),
        Job("late", 0.0, 5.0, needs(2), deadline=6.0),
        Job("never", 0.0, 5.0, needs(9), deadline=6.0),
    ).together
    assert (found["deadlines"], found["deadlines_missed"], found["lateness_mean"]) == (3, pytest.approx(2 / 3), 4.0)


def test_fairness_is_of_slowdowns_and_of_service_while_both_wait():
    jobs = [Job(f"{who}{n}", 0.0, 10.0, needs(1), principal=who) for n in range(6) for who in ("ann", "bob")]
    found = outcome(*jobs).together
    assert (found["principals"], found["jain_service"]) == (2, pytest.approx(1.0))
    assert 0.9 < found["jain_slowdown"] <= 1.0
    assert "jain_service" not in outcome(Job("alone", 0.0, 1.0)).together


def test_estimates_are_held_against_what_came():
    found = outcome(Job("a", 0.0, 10.0), Job("b", 0.0, 40.0), estimates="constant:20").together
    assert (found["estimate_mdape"], found["estimate_covered"]) == (pytest.approx(0.75), 0.5)
    assert found["estimate_width"] == 1.0, "a constant has no spread"


def test_several_runs_are_put_together_by_the_kind_of_figure():
    found = together([{"jobs": 2, "wait_mean": 1.0, "wait_max": 9.0}, {"jobs": 3, "wait_mean": 3.0, "wait_max": 4.0}])
    assert found == {"jobs": 5, "wait_mean": 2.0, "wait_max": 9.0}


def test_quantiles_jain_and_the_interval_of_a_mean():
    assert [quantile([4.0, 1.0, 3.0, 2.0], share) for share in (0.0, 0.5, 1.0)] == [1.0, 2.5, 4.0]
    assert (jain([1.0, 1.0]), jain([1.0, 0.0]), jain([])) == (1.0, 0.5, 1.0)
    low, high = interval([1.0, 2.0, 3.0] * 10)
    assert 1.5 < low < 2.0 < high < 2.5


def test_every_mean_has_a_worst_case_beside_it():
    means = [key.removesuffix("_mean") for key in KINDS if key.endswith("_mean")]
    assert [key for key in means if f"{key}_max" not in KINDS] == []
    assert kind("utilisation.cpus").title == "cpus in use, mean"


def test_figures_are_shown_in_their_units():
    assert [shown(0.5, "%"), shown(7200.0, "s"), shown(3.25, "s"), shown(12.3, "µs"), shown(1234.5, "x")] == [
        "50.00 %", "2.0 h", "3.25 s", "12 µs", "1,234.50",
    ]  # fmt: skip


def test_reports_are_tables_and_pictures_that_load_nothing():
    found = outcome(Job("a", 0.0, 100.0, needs(2)), Job("b & <co>", 10.0, 20.0, needs(1)))
    assert "| wait, longest | 90 s |" in markdown([found])
    drawn = charts([found])
    assert drawn.keys() == {"slowdowns", "waiting", "use"}
    assert all(svg.startswith("<svg ") and svg.endswith("</svg>\n") for svg in drawn.values())
    text = page("A & B", ["told <here>"], [found])
    assert "A &amp; B" in text
    assert "told &lt;here&gt;" in text
    assert "wait, longest" in text
    assert "src=" not in text
    assert "href=" not in text
