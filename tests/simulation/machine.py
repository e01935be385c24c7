"""The simulation as a state machine of hypothesis: it looks for the shortest story that breaks a promise."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mcp_scheduler.core.events import Action
from mcp_scheduler.core.node import LOCAL
from tests.simulation.places import GPUS
from tests.simulation.sim import Sim
from tests.simulation.wanted import EVERY, FAR, NEW, OK, OLD, OUTCOMES, PINS, SHAPES, Fate, Wanted

PICKS = st.lists(st.integers(0, 50), min_size=1, max_size=3)
FATES = st.one_of(
    st.just(OK),
    st.just(OK),
    st.just(OK),
    st.builds(
        Fate,
        st.sampled_from(("disk", "before", "after")),
        st.integers(0, 6),
        st.tuples(st.integers(0, 8)),
        st.sampled_from((0.0, 500.0, -5.0)),
    ),
)
WANTED = st.builds(
    Wanted,
    shape=st.integers(0, len(SHAPES) - 1),
    after=st.one_of(st.just(()), st.tuples(st.integers(0, 50)), st.tuples(st.integers(0, 50), st.integers(0, 50))),
    priority=st.sampled_from((0, 5)),
    delay=st.sampled_from((0.0, 20.0)),
    hold=st.booleans(),
    key=st.integers(0, 3),
    reads=st.sampled_from(("", "", "a", "b", "ab")),
    writes=st.sampled_from(("", "", "a", "b", "ac")),
    every=st.sampled_from((0.0, 0.0, 0.0, 15.0)),
    catch_up=st.sampled_from(("skip", "one", "all")),
    deadline=st.sampled_from((0.0, 0.0, 0.0, 30.0)),
    undo=st.booleans(),
    goes_on=st.booleans(),
    copies=st.sampled_from((1, 1, 1, 1, 0, 2, 3)),
)


class Plain(RuleBasedStateMachine):
    """Calls that start, end, fail and are tried again, and engines that die: without all that few tasks ask for."""

    are_many = False  # nodes

    def __init__(self) -> None:
        super().__init__()
        self.sim = Sim(are_many=self.are_many)

    @rule(
        shapes=st.lists(st.integers(0, len(SHAPES) - 1), min_size=1, max_size=3), fate=FATES, with_reports=st.booleans()
    )
    def submit_plainly(self, shapes, fate, with_reports):
        self.sim.submit([Wanted(shape=shape) for shape in shapes], fate, with_reports=with_reports)

    @rule(count=st.integers(1, 9), fate=FATES)
    def deliver(self, count, fate):
        self.sim.deliver(count, fate)

    @rule(picks=PICKS, fate=FATES)
    def deliver_again(self, picks, fate):
        self.sim.deliver_again(picks, fate)

    @rule(picks=PICKS)
    def begin(self, picks):
        self.sim.begin(picks)

    @rule(pick=st.integers(0, 50), reason=st.sampled_from(OUTCOMES), seconds=st.sampled_from((0.001, 5.0)))
    def end(self, pick, reason, seconds):
        self.sim.end(pick, reason, seconds)

    @rule(pick=st.integers(0, 50), reason=st.sampled_from(OUTCOMES[3:]))
    def fail(self, pick, reason):
        """An attempt ends badly, and everything is heard at once: what follows is looked at in the next steps."""
        self.sim.end(pick, reason, 0.001)
        self.sim.deliver(9, OK)
        self.sim.deliver(9, OK)

    @rule(seconds=st.sampled_from((0.01, 0.06, 1.0, 10.0, 40.0)), fate=FATES)
    def wait(self, seconds, fate):
        self.sim.wait(seconds, fate)

    @invariant()
    def the_promises_hold(self):
        self.sim.check()

    def teardown(self):
        self.sim.drain()


class Machine(Plain):
    """Everything that can be asked for and can happen."""

    @rule(wanted=st.lists(WANTED, min_size=1, max_size=3), fate=FATES, with_reports=st.booleans())
    def submit(self, wanted, fate, with_reports):
        self.sim.submit(wanted, fate, with_reports=with_reports)

    @rule(picks=PICKS, fate=FATES, with_reports=st.booleans(), for_good=st.booleans())
    def cancel(self, picks, fate, with_reports, for_good):
        self.sim.cancel(picks, fate, with_reports=with_reports, for_good=for_good)

    @rule(
        action=st.sampled_from(
            (Action.HOLD, Action.RESUME, Action.RETRY, Action.SET_PRIORITY, Action.RELEASE, Action.RENEW)
        ),
        picks=PICKS, fate=FATES, value=st.sampled_from((-5, 0, 5)), with_reports=st.booleans(),
    )  # fmt: skip
    def update(self, action, picks, fate, value, with_reports):
        self.sim.update(action, picks, fate, value=value, with_reports=with_reports)

    @rule(pick=st.integers(0, 50))
    def hang(self, pick):
        self.sim.hang(pick)

    @rule(pick=st.integers(0, 50), fate=FATES)
    def choose(self, pick, fate):
        self.sim.choose(pick, fate)

    @rule(paused=st.booleans())
    def pause(self, paused):
        self.sim.pause(paused=paused)

    @rule(cpus=st.integers(1, 4), fate=FATES)
    def resize(self, cpus, fate):
        self.sim.resize(cpus, fate)


DEVICES = st.sampled_from([gpu.uuid for gpus in GPUS.values() for gpu in gpus])


class Wide(Machine):
    """The same on several nodes with GPUs, which are lost and found, drained, broken and trusted again."""

    are_many = True

    @rule(
        wanted=st.lists(
            st.builds(
                Wanted,
                shape=st.integers(len(SHAPES), len(EVERY) - 1),
                pin=st.sampled_from(((), *PINS)),
                pin_for=st.sampled_from((5.0, 20.0)),
                copies=st.sampled_from((1, 1, 2)),
                inputs=st.sampled_from(("", "files")),
            ),
            min_size=1,
            max_size=3,
        ),
        fate=FATES,
    )
    def submit_on_gpus(self, wanted, fate):
        self.sim.submit(wanted, fate)

    @rule(shape=st.integers(0, 2), fate=FATES)
    def submit_what_may_be_known(self, shape, fate):
        self.sim.submit([Wanted(shape, cache=True)], fate)

    @rule(uuid=DEVICES, fate=FATES)
    def lose(self, uuid, fate):
        self.sim.lose(uuid, fate)

    @rule(uuid=DEVICES, fate=FATES)
    def find(self, uuid, fate):
        self.sim.find(uuid, fate)

    @rule(uuid=DEVICES, fate=FATES, over=st.booleans())
    def drain_device(self, uuid, fate, over):
        self.sim.drain_device(uuid, fate, over=over)

    @rule(uuid=DEVICES)
    def break_down(self, uuid):
        self.sim.break_down(uuid)

    @rule(place=st.sampled_from(((LOCAL, ""), (FAR, ""), (LOCAL, f"{NEW}0"), (FAR, f"{OLD}3"))), fate=FATES)
    def lift(self, place, fate):
        self.sim.lift(*place, fate)

    @rule(pick=st.integers(0, 50))
    def worker_goes(self, pick):
        self.sim.worker_goes(pick)
