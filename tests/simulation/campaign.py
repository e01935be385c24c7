"""A long random walk through the simulation, in episodes that each end with a drained world.

    python -m tests.simulation.campaign --steps 100000 --seed 1

A failure names its episode and prints the last steps: `--seed` and `--episode` walk it again.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from mcp_scheduler.core.events import Action
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.policies.catalogue import BUILT_IN
from tests.simulation.sim import Sim
from tests.simulation.wanted import EVERY, FAR, FIRST_COMMAND, OK, OUTCOMES, PINS, SHAPES, Fate, Wanted

EPISODE = 120  # steps
ACTIONS = (Action.HOLD, Action.RESUME, Action.RETRY, Action.SET_PRIORITY, Action.RELEASE, Action.RENEW)


class Walker:
    """Draws what happens next. Every other walk has several nodes with GPUs."""

    def __init__(self, seed: str, *, are_many: bool | None = None) -> None:
        self.draw = random.Random(seed)
        self.aside = random.Random(f"aside/{seed}")  # what it draws leaves the other draws as they are
        self.beside = random.Random(f"copies/{seed}")
        self.far = random.Random(f"places/{seed}")
        half = self.far.random() < 0.5
        self.sim = Sim(are_many=half if are_many is None else are_many)
        self.story: list[str] = []
        self.takes_turns = self.aside.random() < 0.3
        if self.takes_turns:
            self.sim.choose(list(BUILT_IN).index("time_slice"))
        self.verbs: list[tuple[int, Callable[[], None]]] = [
            (5, self.submit), (3, self.cancel), (4, self.update), (12, self.deliver), (2, self.deliver_again),
            (16, self.begin), (8, self.end), (4, self.hang), (5, self.wait), (1, self.resize),
            (1, self.pause),
        ]  # fmt: skip
        self.beside_verbs = (
            self.worker_goes, self.worker_goes, self.explain, self.map, self.lose, self.find, self.find, self.drain,
            self.undrain, self.undrain, self.lift, self.resize_one, self.break_down,
        )  # fmt: skip

    def step(self) -> None:
        weights = [weight for weight, _ in self.verbs]
        _, verb = self.draw.choices(self.verbs, weights)[0]
        if self.aside.random() < (0.003 if self.takes_turns else 0.02):
            self.choose()
        if self.takes_turns and self.aside.random() < 0.15:
            self.do("begin", self.picks_aside())
            self.do("wait", 10.0, OK)
        verb()
        if self.sim.places.are_many and self.far.random() < 0.25:
            self.far.choice(self.beside_verbs)()
        self.sim.check()

    def do(self, verb: str, *arguments: object, **options: object) -> None:
        self.story.append(f"{verb} {arguments} {options or ''}")
        getattr(self.sim, verb)(*arguments, **options)

    def fate(self, crashes: int = 1) -> Fate:
        kind = self.draw.choices(("ok", "disk", "before", "after"), (14, 2, crashes, crashes))[0]
        return (
            OK
            if kind == "ok"
            else Fate(kind, self.effects(), tuple(self.picks(3)) if self.draw.random() < 0.5 else (), self.jump())
        )

    def effects(self) -> int:
        """So many are carried out before the engine dies."""
        more = self.far.choice((0, 0, 3, 6)) if self.sim.places.are_many else 0
        return self.draw.randrange(3) + more

    def jump(self) -> float:
        return self.draw.choice((0.0, 0.0, 0.0, 500.0, 500.0, 500.0, 500.0, -5.0))

    def picks(self, most: int) -> list[int]:
        return [self.draw.randrange(1000) for _ in range(self.draw.randint(1, most))]

    def picks_aside(self) -> list[int]:
        return [self.aside.randrange(1000) for _ in range(3)]

    def submit(self) -> None:
        wanted = [self.wanted() for _ in range(self.draw.randint(1, 4))]
        if self.draw.random() < 0.15:  # a graph whose tasks all want the same
            wanted = [replace(one, writes="a", after=(), every=0.0, key=0) for one in (*wanted, *wanted)]
        self.do("submit", wanted, self.fate(), with_reports=self.draw.random() < 0.5)

    def wanted(self) -> Wanted:
        draw = self.draw
        shape = draw.randrange(FIRST_COMMAND)
        if self.aside.random() < (0.7 if self.takes_turns else 0.05):
            shape = self.aside.randrange(FIRST_COMMAND, len(SHAPES))
        wanted = Wanted(
            shape,
            tuple(self.picks(3)) if draw.random() < 0.25 else (),
            draw.choice((0, 0, 5)),
            draw.choice((0.0, 0.0, 20.0)),
            draw.random() < 0.1,
            draw.choice((0, 0, 1, 2, 3)),
            draw.choice(("", "", "", "a", "b", "ab")),
            draw.choice(("", "", "", "a", "b", "ac")),
            draw.choice((0.0, 0.0, 0.0, 0.0, 15.0)),
            draw.choice(("skip", "one", "all")),
            60.0 if self.aside.random() < 0.05 else 0.0,
            draw.random() < 0.3,
            self.aside.random() < 0.5,
            self.beside.choice((1, 1, 1, 0, 0, 2, 3)),
        )
        return self.placed(wanted) if self.sim.places.are_many else wanted

    def placed(self, wanted: Wanted) -> Wanted:
        """The same, on GPUs perhaps, in a planned place perhaps; or plain, so that a stored result may answer."""
        far = self.far
        if far.random() < 0.2:
            return Wanted(far.choice((0, 1, 2)), cache=True)
        return replace(
            wanted,
            shape=far.randrange(len(SHAPES), len(EVERY)) if far.random() < 0.5 else wanted.shape,
            pin=far.choice(PINS) if far.random() < 0.3 else (),
            pin_for=far.choice((5.0, 20.0)),
            inputs=far.choice(("", "", "", "files")),
        )

    def cancel(self) -> None:
        with_reports, for_good = self.draw.random() < 0.5, self.draw.random() < 0.3
        self.do("cancel", self.picks(2), self.fate(crashes=12), with_reports=with_reports, for_good=for_good)

    def update(self) -> None:
        action, value = self.draw.choice(ACTIONS), self.draw.choice((0, 5, -5))
        self.do("update", action, self.picks(3), self.fate(), value=value, with_reports=self.draw.random() < 0.5)

    def deliver(self) -> None:
        self.do("deliver", self.draw.randint(1, 9), self.fate())

    def deliver_again(self) -> None:
        self.do("deliver_again", self.picks(3), self.fate())

    def begin(self) -> None:
        self.do("begin", self.picks(3))

    def end(self) -> None:
        self.do("end", self.draw.randrange(1000), self.draw.choice(OUTCOMES), self.draw.choice((0.001, 0.001, 5.0)))

    def hang(self) -> None:
        self.do("hang", self.draw.randrange(1000))

    def wait(self) -> None:
        self.do("wait", self.draw.choice((0.01, 0.06, 1.0, 10.0, 40.0)), self.fate())

    def resize(self) -> None:
        self.do("resize", self.draw.choice((1, 2, 3, 4)), self.fate())

    def resize_one(self) -> None:
        self.do("resize", self.far.choice((1, 2, 3, 4)), self.fate(), node=FAR)

    def lose(self) -> None:
        self.do("lose", self.device(), self.fate())

    def find(self) -> None:
        self.do("find", self.device(), self.fate())

    def drain(self) -> None:
        self.do("drain_device", self.device(), self.fate())

    def undrain(self) -> None:
        self.do("drain_device", self.device(), self.fate(), over=True)

    def lift(self) -> None:
        self.do("lift", *self.far.choice(((LOCAL, ""), (FAR, ""), (LOCAL, self.device()))), self.fate())

    def explain(self) -> None:
        self.do("explain", self.far.randrange(1000))

    def worker_goes(self) -> None:
        self.do("worker_goes", self.far.randrange(1000))

    def break_down(self) -> None:
        """What is there is two functions, so that neither of them is to blame; and it is there again."""
        device = self.device()
        for shape in (2, 3):
            self.do("submit", [Wanted(len(SHAPES) + shape, priority=9, copies=3 if shape == 2 else 1)])
            self.do("begin", [self.far.randrange(1000) for _ in range(12)])
            self.do("break_down", device)

    def device(self) -> str:
        return self.far.choice(sorted(self.sim.places.devices))

    def map(self) -> None:
        """Items that go through stages, each in a task of its own: what a stage could not do, the next does without."""
        stages, here = self.far.choice((1, 2, 3)), len(self.sim.known)
        shapes = [self.far.randrange(len(EVERY) - 1) for _ in range(stages)]
        wanted = [
            Wanted(shapes[stage], (here + item * stages + stage - 1,) if stage else (), goes_on=True)
            for item in range(self.far.choice((1, 2, 3)))
            for stage in range(stages)
        ]
        self.do("submit", wanted, self.fate())

    def choose(self) -> None:
        self.do("choose", self.aside.randrange(1000))

    def pause(self) -> None:
        self.do("pause", paused=self.draw.random() < 0.3)


def walk(seed: str, steps: int = EPISODE, *, are_many: bool | None = None) -> Counter[str]:
    """One episode, on one node or on `are_many`; what came of it. A broken promise tells how it came about."""
    walker = Walker(seed, are_many=are_many)
    try:
        for _ in range(steps):
            walker.step()
        walker.sim.drain()
    except Exception as error:
        error.add_note("The last steps:\n" + "\n".join(walker.story[-25:]))
        raise
    return walker.sim.figures


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--episode", type=int, help="walk this episode only")
    options = parser.parse_args()
    figures: Counter[str] = Counter()
    started = time.monotonic()
    episodes = [options.episode] if options.episode is not None else range(max(1, options.steps // EPISODE))
    failures = walked = 0
    for episode in episodes:
        walked += 1
        try:
            figures += walk(f"{options.seed}/{episode}")
        except Exception:  # noqa: BLE001 (a defect raises what it likes; the other episodes are walked all the same)
            failures += 1
            sys.stderr.write(f"--- episode {episode} of seed {options.seed} broke a promise\n")
            traceback.print_exc()
            if failures >= 3:
                break
    spent = time.monotonic() - started
    lines = [f"{walked * EPISODE:,} steps in {walked:,} episodes, {spent:.0f} s, {failures} failures"]
    lines += [f"{count:>12,} {name}" for name, count in sorted(figures.items())]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
