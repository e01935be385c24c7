"""Whatever is taken, given back and observed, in whatever order: nothing is promised twice."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from mcp_scheduler.core.accounts import account, headroom
from mcp_scheduler.core.devices import Devices
from mcp_scheduler.core.gangs import best_linked
from mcp_scheduler.core.seen import GpuProcess, GpuSeen, Health, Use
from mcp_scheduler.core.task import Needs

GIB = 2**30
TOTALS = (80 * GIB, 80 * GIB, 24 * GIB, 8 * GIB)
NEEDS = st.builds(
    Needs,
    gpus=st.integers(1, 3),
    gpu_memory=st.sampled_from([0, 0, GIB, 3 * GIB, 7 * GIB, 20 * GIB]),
    device=st.sampled_from(["", "", "big", "gpu2"]),
)


class World(RuleBasedStateMachine):
    """A model of the promises beside the real thing, and a machine on which our tenants and others allocate."""

    promised = Bundle("promised")

    def __init__(self):
        super().__init__()
        self.count = 0
        self.model = {}  # tenant → (devices, bytes on each, or None for the whole)
        self.idle = {}  # (tenant, device) → bytes that a warm worker keeps
        self.used = [{} for _ in TOTALS]  # per device: owner → bytes
        self.health = [Health.OK for _ in TOTALS]
        self.hidden = False
        self.devices = Devices(self.seen())

    def seen(self):
        for index, total in enumerate(TOTALS):
            used = sum(self.used[index].values())
            processes = tuple(
                GpuProcess(number, memory, Use.COMPUTE, None if self.hidden else owner)
                for number, (owner, memory) in enumerate(self.used[index].items())
            )
            label = "big" if total > 30 * GIB else "small"
            yield GpuSeen(
                f"GPU-{index}", index, "", label, total, used, total - used, None, processes, health=self.health[index]
            )

    @rule(target=promised, needs=NEEDS)
    def take(self, needs):
        self.count += 1
        tenant = f"t{self.count}"
        chosen = self.devices.choose(needs)
        assert self.devices.fits(needs) is (chosen is not None)
        if chosen is None:
            assert self.devices.explain(needs)
            return tenant
        assert len(set(chosen)) == needs.gpus
        for uuid in chosen:
            index = int(uuid[4:])
            assert self.health[index] is Health.OK
            holders = [self.size_on(holder, uuid) for holder, (where, _) in self.model.items() if uuid in where]
            if not needs.gpu_memory:
                assert not holders
            assert None not in holders
        assert self.devices.take(tenant, needs) == chosen
        self.model[tenant] = (chosen, needs.gpu_memory + self.devices.context if needs.gpu_memory else None)
        return tenant

    @rule(tenant=consumes(promised), gone=st.booleans())
    def give_back(self, tenant, gone):
        self.devices.give_back(tenant, gone=gone)
        used = [dict(device) for device in self.used]
        self.forget(tenant)
        if not gone:
            self.used = used

    @rule(tenant=promised)
    def rest(self, tenant):
        """A warm worker keeps what it was last seen to use, or, unseen, what it was promised."""
        self.devices.rest(tenant)
        if tenant in self.model:
            for uuid in self.model[tenant][0]:
                state = self.devices.states[uuid]
                in_use = state.account.allocated.get(tenant)
                assert (state.whole == tenant) is (self.size_on(tenant, uuid) is None and in_use is None)
                self.idle[tenant, uuid] = self.size_on(tenant, uuid) if in_use is None else in_use

    @rule(tenant=promised, needs=NEEDS)
    def rise(self, tenant, needs):
        where = self.model.get(tenant, ((), 0))[0]
        before = {uuid: dict(self.devices.states[uuid].promises) for uuid in where}
        if not self.devices.rise(tenant, needs):
            assert before == {uuid: dict(self.devices.states[uuid].promises) for uuid in where}
            return
        assert len(where) == needs.gpus
        for uuid in where:
            self.idle.pop((tenant, uuid), None)
            others = [other for other, (there, _) in self.model.items() if uuid in there and other != tenant]
            assert needs.gpu_memory or not others
            assert all(self.size_on(other, uuid) is not None for other in others)
        self.model[tenant] = (where, needs.gpu_memory + self.devices.context if needs.gpu_memory else None)

    @rule(tenant=promised, needs=NEEDS)
    def evict(self, tenant, needs):
        evicted = self.devices.to_evict(needs)
        if evicted:
            assert not self.devices.fits(needs)
            for name in evicted:
                assert any(name == idle for idle, _ in self.idle)
                self.devices.give_back(name, gone=True)
                self.forget(name)
            assert self.devices.fits(needs)

    def size_on(self, tenant, uuid):
        """Bytes; None for the whole."""
        return self.idle.get((tenant, uuid), self.model[tenant][1])

    def forget(self, tenant):
        self.model.pop(tenant, None)
        self.idle = {key: size for key, size in self.idle.items() if key[0] != tenant}
        for device in self.used:
            device.pop(tenant, None)

    @rule(tenant=promised, share=st.floats(0, 1))
    def allocate(self, tenant, share):
        for uuid in self.model.get(tenant, ((), 0))[0]:
            index = int(uuid[4:])
            size = self.model[tenant][1] or TOTALS[index]
            room = TOTALS[index] - sum(self.used[index].values()) + self.used[index].get(tenant, 0)
            self.used[index][tenant] = min(int(size * share), room)

    @rule(index=st.integers(0, 3), gibs=st.integers(0, 30))
    def others_allocate(self, index, gibs):
        self.used[index].pop("", None)
        if gibs:
            self.used[index][""] = min(gibs * GIB, TOTALS[index] - sum(self.used[index].values()))

    @rule(index=st.integers(0, 3), health=st.sampled_from(Health))
    def break_or_heal(self, index, health):
        self.health[index] = health
        self.devices.observe(self.seen())

    @rule(hidden=st.booleans())
    def observe(self, hidden):
        self.hidden = hidden
        self.devices.observe(self.seen())

    @precondition(lambda self: self.count % 7 == 3)
    @rule(index=st.integers(0, 3))
    def vanish_and_come_back(self, index):
        self.devices.observe([device for device in self.seen() if device.index != index])
        assert not self.devices.fits(Needs(gpus=1, device=f"gpu{index}"))
        self.devices.observe(self.seen())

    @invariant()
    def never_more_is_promised_than_there_is(self):
        for index, total in enumerate(TOTALS):
            uuid = f"GPU-{index}"
            holders = {name: self.size_on(name, uuid) for name, (where, _) in self.model.items() if uuid in where}
            if None in holders.values():
                assert len(holders) == 1
            idle = sum(size or 0 for (_, where), size in self.idle.items() if where == uuid)
            assert sum(size or 0 for size in holders.values()) <= max(total - headroom(total), idle)
            assert set(self.devices.tenants(f"GPU-{index}")) == set(holders)


World.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestWorld = World.TestCase


@given(
    promises=st.dictionaries(st.sampled_from("abc"), st.integers(0, 10 * GIB)),
    uses=st.dictionaries(st.sampled_from(["a", "b", "c", ""]), st.integers(0, 8 * GIB)),
    reserved=st.integers(0, GIB),
)
def test_the_account_is_the_smaller_of_the_two_usual_sums(promises, uses, reserved):
    """free = min(driver's free - pending, total - promised - foreign) - headroom, where nobody uses more than promised
    (and less where somebody does)."""
    total = 40 * GIB
    used = sum(uses.values())
    processes = tuple(GpuProcess(1, memory, owner=owner) for owner, memory in uses.items())
    device = GpuSeen("GPU-0", 0, "", "", total, used, total - used - reserved, processes=processes)
    told = account(device, promises)
    allocated = {tenant: uses.get(tenant, 0) for tenant in promises}
    foreign = used - sum(allocated.values())
    pending = sum(max(0, promise - allocated[tenant]) for tenant, promise in promises.items())
    usual = min(total - used - reserved - pending, total - sum(promises.values()) - foreign) - headroom(total)
    assert told.foreign == foreign
    assert told.free <= usual
    if all(allocated[tenant] <= promise for tenant, promise in promises.items()):
        assert told.free == usual


@given(
    promises=st.dictionaries(st.sampled_from("ab"), st.integers(0, 10 * GIB), min_size=1),
    share=st.floats(0, 1),
    strangers=st.integers(0, 10 * GIB),
    baseline=st.integers(0, 10 * GIB),
)
def test_hidden_use_is_bounded_by_the_rule_of_the_baseline(promises, share, strangers, baseline):
    total = 40 * GIB
    used = int(sum(promises.values()) * share) + strangers
    device = GpuSeen("GPU-0", 0, "", "", total, used, total - used, listed=False)
    foreign = account(device, promises, baseline).foreign
    assert foreign >= min(baseline, used)
    assert foreign >= used - sum(promises.values())
    assert foreign <= used


@given(data=st.data(), size=st.integers(1, 7), count=st.integers(1, 7))
def test_a_gang_has_the_largest_smallest_link_of_all_subsets(data, size, count):
    rank = {pair: data.draw(st.integers(0, 4)) for pair in combinations(range(size), 2)}
    gpus = [
        GpuSeen(str(i), i, "", "", GIB, links=tuple((str(j), rank[i, j]) for j in range(i + 1, size)))
        for i in range(size)
    ]

    def worst(members):
        return min((rank[pair] for pair in combinations(members, 2)), default=0)

    found = best_linked(gpus, count)
    if count > size:
        assert found is None
    else:
        assert len({gpu.index for gpu in found}) == count
        assert worst([gpu.index for gpu in found]) == max(map(worst, combinations(range(size), count)))
