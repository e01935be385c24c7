"""When an engine that nobody uses may leave."""

from mcp_scheduler.idleness import LOOKS, Idleness


def looks(idleness, *, visits=1, is_busy=False, count=LOOKS):
    return [idleness.look(visits=visits, is_busy=is_busy) for _ in range(count)]


def test_it_leaves_once_it_was_quiet_for_the_whole_time():
    idleness = Idleness()
    idleness.look(visits=1, is_busy=False)  # somebody had come before this one
    assert looks(idleness) == [False] * (LOOKS - 1) + [True]


def test_a_visit_between_two_looks_begins_the_time_anew():
    idleness = Idleness()
    looks(idleness, count=LOOKS - 1)
    assert looks(idleness, visits=2) == [False] * LOOKS
    assert idleness.look(visits=2, is_busy=False)


def test_work_without_a_door_begins_the_time_anew():
    idleness = Idleness()
    looks(idleness, count=LOOKS - 1)
    assert not any(looks(idleness, is_busy=True, count=3))
    assert looks(idleness) == [False] * (LOOKS - 1) + [True]
