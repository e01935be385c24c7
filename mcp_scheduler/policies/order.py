"""Orders that need no forecast: by arrival, by priority with linear ageing, by turns."""

from __future__ import annotations

from dataclasses import dataclass

from mcp_scheduler.core.policy import Scene, Sharing, TaskClass


@dataclass(frozen=True, slots=True)
class Order:
    """By arrival. `ageing` is the head start, in seconds, that one point of priority is worth.

    Waiting makes up for priority: a task of priority p overtakes one of priority q > p that arrives more than
    (q - p) · ageing seconds after it. So no task waits behind later ones for longer than 200 · ageing seconds
    (priorities lie in -100..100). With `ageing` 0 arrival alone counts: that is `fifo`.
    """

    name: str
    ageing: float
    sharing: Sharing = Sharing.NONE
    ages: bool = False  # linear ageing has the same order at every moment: a rank is computed once
    by_graph: bool = False
    by_deadline: bool = False
    quantum: float = 0.0  # seconds after which a call makes way for who has waited as long as it would have; 0: never
    courteous: bool = False  # does work make way for other programs on an overloaded host?

    def rank(self, kind: TaskClass, since: float, _deadline: float | None, _scene: Scene) -> float:
        return since - kind.priority * self.ageing

    def terms(self, kind: TaskClass, since: float, _deadline: float | None, scene: Scene) -> dict[str, str]:
        told = {"waits": f"{max(0.0, scene.now - since):.0f} s"}
        if self.ageing and kind.priority:
            told["priority"] = f"{kind.priority}, a head start of {kind.priority * self.ageing:.0f} s"
        if self.quantum:
            told["turns"] = f"of {self.quantum:g} s; then whoever runs makes way"
        return told


FIFO = Order("fifo", 0.0)
PRIORITY = Order("priority", 60.0)
ROUND_ROBIN = Order("round_robin", 60.0, Sharing.TURNS)
FAIR_SHARE = Order("fair_share", 60.0, Sharing.USAGE)
TIME_SLICE = Order("time_slice", 60.0, quantum=10.0)
LOAD_AWARE = Order("load_aware", 60.0, courteous=True)
