"""What is not as it usually is: functions that have become slow or fail in bursts, tasks whose progress has stopped,
other programs that take more and more of a node, GPUs that are reserved and idle.

Everything is learnt from what the engine sees anyway, in constant time for each event, and nothing is ever done about
it: a person reads the alerts. Which share of its calls usually fails, and what stands, is an account: the next engine
need not learn it again, and tells it again. The other detectors start from the forecasts, or from what they see.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import exp, log
from typing import Any, Final, TypeVar

from mcp_scheduler.core.account import Key
from mcp_scheduler.forecast.detectors import Burst, Drift, Excess

Watch = TypeVar("Watch")

KEPT: Final = 2048  # functions, and as many tasks; beyond that the one heard of longest ago is forgotten
STANDS: Final = 600.0  # seconds for which an alert stands after the last evidence for it
QUIET_TIMES: Final = 8  # usual distances between two steps of a task after which it seems to be stuck
QUIET_LEAST: Final = 60.0  # seconds, at least
_STEPS: Final = 3
IDLE: Final = 600.0  # seconds for which a reserved GPU may do nothing
_BUSY: Final = 2  # percent; less is a monitor's look
_SOOTHE: Final = 0.3
_USUAL: Final = "usual"  # the first part of the rows with shares of bad ends; those of alerts begin with `_ALERT`
_ALERT: Final = "alert"
_STEP: Final = 0.02  # by which a share has to have changed to be written down
_LEAST: Final = 1e-6


@dataclass(slots=True)
class Alert:
    """What was found, and when it was last seen."""

    at: float
    text: str


@dataclass(slots=True)
class Steps:
    """The progress of one task: what it said last, when, and the usual seconds between two steps."""

    said: tuple[float | None, str]
    at: float
    count: int = 1
    gap: float = 0.0


class Anomalies:
    """`core.watching.Watcher` over detectors."""

    def __init__(self) -> None:
        self._slow: OrderedDict[str, Excess] = OrderedDict()
        self._bad: OrderedDict[str, Burst] = OrderedDict()
        self._steps: OrderedDict[str, Steps] = OrderedDict()
        self._drifts: dict[tuple[str, str], Drift] = {}
        self._idle: dict[tuple[str, str], tuple[str, str, float]] = {}  # device → its name, its task, since when
        self.found: OrderedDict[tuple[str, ...], Alert] = OrderedDict()
        self.touched: set[Key] = set()

    # --- what happens

    def ended(self, name: str, now: float, *, bad: bool) -> None:
        """A call has ended, well or badly."""
        watch = _latest(self._bad, name, Burst, self._forgot)
        if watch.add(bad=bad):
            text = f"{watch.bad} of the last {watch.count} calls of {name} ended badly; usually {watch.before:.0%} do."
            self._raise(("errors", name), now, text + " See their errors: list_tasks state=failed.")
            watch.begin_again()
        if abs(watch.usual - watch.kept) >= _STEP:
            watch.kept = watch.usual
            self.touched.add((_USUAL, name))

    def took(self, name: str, seconds: float, median: float, upper: float, now: float) -> None:
        """A call took so long, of which this median and this 90 % bound were expected."""
        watch = _latest(self._slow, name, Excess)
        if watch.add(log(max(seconds, _LEAST)), log(max(median, _LEAST)), log(max(upper, _LEAST))):
            text = (
                f"{name} has become slow: its last {watch.count} calls took {exp(watch.factor):.1f} times as long as"
                " expected."
            )
            self._raise(("slow", name), now, text)
            watch.begin_again()

    def progressed(self, task: str, fraction: float | None, text: str, now: float) -> None:
        """A running task has said how far it is. Saying the same again is no step."""
        steps = self._steps.get(task)
        if steps is None:
            self._steps[task] = Steps((fraction, text), now)
            if len(self._steps) > KEPT:
                self._steps.popitem(last=False)
        elif steps.said != (fraction, text):
            gap = now - steps.at
            steps.gap = gap if steps.count == 1 else steps.gap + _SOOTHE * (gap - steps.gap)
            steps.said, steps.at, steps.count = (fraction, text), now, steps.count + 1

    def over(self, task: str) -> None:
        """An attempt of the task has ended."""
        self._steps.pop(task, None)

    def others(self, node: str, name: str, percent: float, now: float) -> None:
        """How much of a resource of a node is in use beyond what tasks have reserved."""
        watch = self._drifts.setdefault((node, name), Drift())
        before = watch.add(percent)
        if before is not None:
            text = f"Other programs take about {watch.now:.0f} % of the {name} of {node}; before it was {before:.0f} %."
            self._raise(("drift", node, name), now, text)

    def saw(self, node: str, held: Iterable[tuple[str, str, str, int | None]], now: float) -> None:
        """The devices of a node that work has reserved: (id, its name, its task, percent of use)."""
        still: set[tuple[str, str]] = set()
        for device, short, task, percent in held:
            if percent is None or percent > _BUSY:
                continue
            key = (node, device)
            still.add(key)
            if key not in self._idle or self._idle[key][1] != task:
                self._idle[key] = (short, task, now)
        for key in [key for key in self._idle if key[0] == node and key not in still]:
            del self._idle[key]

    # --- what is found

    def alerts(self, now: float) -> Iterator[str]:
        """What stands now, the newest first."""
        for key in [key for key, alert in self.found.items() if now - alert.at >= STANDS]:
            self._drop(key)
        # By their times: those of an earlier engine were taken up in no order.
        yield from (alert.text for alert in sorted(self.found.values(), key=lambda one: one.at, reverse=True))
        for task, steps in self._steps.items():
            quiet = now - steps.at
            if steps.count >= _STEPS and quiet > max(QUIET_LEAST, QUIET_TIMES * steps.gap):
                yield (
                    f"{task} seems to be stuck: its last step was {quiet:.0f} s ago, and one usually takes"
                    f" {steps.gap:.1f} s. Look at its output, or cancel it."
                )
        for short, task, since in self._idle.values():
            if now - since >= IDLE:
                yield f"{short} is reserved by {task}, and has done nothing for {(now - since) / 60:.0f} minutes."

    def _forgot(self, name: str) -> None:
        self.touched.add((_USUAL, name))

    def _raise(self, key: tuple[str, ...], now: float, text: str) -> None:
        self.found[key] = Alert(now, text)
        self.found.move_to_end(key)
        self.touched.add((_ALERT, *key))
        if len(self.found) > KEPT:
            self._drop(next(iter(self.found)))

    def _drop(self, key: tuple[str, ...]) -> None:
        del self.found[key]
        self.touched.add((_ALERT, *key))

    # --- an account

    def row(self, key: Key) -> list[Any] | None:
        if key[0] == _ALERT:
            alert = self.found.get(key[1:])
            return None if alert is None else [alert.at, alert.text]
        watch = self._bad.get(key[1])
        return None if watch is None else [round(watch.kept, 3)]

    def take_up(self, key: Key, row: list[Any], now: float) -> None:
        if key[0] == _USUAL:
            self._bad[key[1]] = Burst(float(row[0]))
            return
        at, text = min(float(row[0]), now), str(row[1])
        if now - at < STANDS:
            self.found[key[1:]] = Alert(at, text)
        else:
            self.touched.add(key)  # nobody wants it any more


def _latest(
    known: OrderedDict[str, Watch], name: str, make: Callable[[], Watch], forgot: Callable[[str], None] = lambda _: None
) -> Watch:
    """The detector of this name, as the one that was heard of last."""
    watch = known.get(name)
    if watch is None:
        watch = known[name] = make()
        if len(known) > KEPT:
            forgot(known.popitem(last=False)[0])
    else:
        known.move_to_end(name)
    return watch
