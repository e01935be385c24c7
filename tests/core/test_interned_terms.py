"""Equal terms are one object, for as long as somebody has them and no longer."""

import gc
from weakref import ref

from tests.core.builders import Stage, terms


def test_equal_terms_are_one_object():
    cluster = Stage().cluster
    first = cluster.intern(terms("module.function", timeout=1.0))
    cluster.intern(terms("module.other"))
    assert cluster.intern(terms("module.function", timeout=1.0)) is first


def test_terms_that_no_task_has_any_more_leave_memory():
    cluster = Stage().cluster
    gone = [ref(cluster.intern(terms("module.function", timeout=float(number)))) for number in range(1, 100)]
    cluster.intern(terms("module.other"))
    gc.collect()
    assert [one() for one in gone] == [None] * 99
