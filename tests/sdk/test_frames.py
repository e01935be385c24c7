from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_scheduler.sdk.frames import LONGEST, BrokenFrame, Splitter, frame


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 9))
def test_bodies_come_out_as_they_went_in_however_the_stream_is_cut(bodies, step):
    stream = b"".join(map(frame, bodies))
    splitter = Splitter()
    found = [body for start in range(0, len(stream), step) for body in splitter.feed(stream[start : start + step])]
    assert found == bodies


def test_an_absurd_length_is_refused_before_anything_is_kept_for_it():
    with pytest.raises(BrokenFrame):
        Splitter().feed((LONGEST + 1).to_bytes(4, "big"))
