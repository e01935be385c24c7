"""Models of run time over the input's size by scikit-learn: kept only where one beats the online forecast on the last
quarter of the runs, which it has not seen."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mcp_scheduler.forecast.series import Series

FEWEST: Final = 60  # runs
BETTER: Final = 0.95  # times the online error: less is no win
_HELD_OUT: Final = 0.25
_BEYOND: Final = 4  # half powers of two on either side of the sizes that were seen

Run = tuple[int, float]


def models() -> dict[str, Any]:
    """By name; each of one thread, and the same in every run."""
    return {
        "linear": LinearRegression(),
        "forest": RandomForestRegressor(50, min_samples_leaf=5, random_state=1, n_jobs=1),
        "boosting": GradientBoostingRegressor(n_estimators=60, max_depth=2, loss="absolute_error", random_state=1),
        "network": make_pipeline(
            StandardScaler(),
            MLPRegressor(hidden_layer_sizes=(16, 16), solver="lbfgs", max_iter=2000, max_fun=100_000, random_state=1),
        ),
    }


def best(runs: Sequence[Run]) -> dict[str, Any] | None:
    """The winner's name, its error and the online forecast's on the held-out runs (mean |log ratio|), and its table of
    (size, logarithm); None where nothing is better than what there is."""
    if len(runs) < FEWEST:
        return None
    cut = round(len(runs) * (1.0 - _HELD_OUT))
    learnt, unseen = runs[:cut], runs[cut:]
    online = _online_error(learnt, unseen)
    errors: dict[str, float] = {}
    for name, model in models().items():
        fitted = _fit(model, learnt)
        guesses = fitted.predict([[size] for size, _ in unseen])
        errors[name] = sum(abs(value - guess) for (_, value), guess in zip(unseen, guesses, strict=True)) / len(unseen)
    winner = min(errors, key=lambda name: errors[name])
    if errors[winner] >= BETTER * online:
        return None
    sizes = [size for size, _ in runs]
    grid = list(range(max(0, min(sizes) - _BEYOND), max(sizes) + _BEYOND + 1))
    values = _fit(models()[winner], runs).predict([[size] for size in grid])
    table = [[size, float(value)] for size, value in zip(grid, values, strict=True)]
    return {"name": winner, "error": errors[winner], "online": online, "table": table}


def _fit(model: Any, runs: Sequence[Run]) -> Any:
    return model.fit([[size] for size, _ in runs], [value for _, value in runs])


def _online_error(learnt: Sequence[Run], unseen: Sequence[Run]) -> float:
    """What the forecast that goes on learning would have been off by."""
    series = Series()
    for size, value in learnt:
        series.learn(size, value)
    total = 0.0
    for size, value in unseen:
        total += abs(value - series.guess(size))
        series.learn(size, value)
    return total / len(unseen)
