"""How long the state machines walk: a gate that every test run passes, and a hunt for a planted fault."""

from hypothesis import HealthCheck, Phase, settings


def gate(examples, steps=50):
    """So many stories of so many steps (or of one piece), drawn anew each time, with no clock and no memory."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def hunt(passed, examples):
    """As the gate `passed`, but the same stories each time, and none is made shorter: that one is found is enough."""
    return settings(
        passed, max_examples=examples, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False
    )
