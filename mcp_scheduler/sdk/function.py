"""The decorator that makes a Python function callable by agents. The function itself stays what it was."""

from __future__ import annotations

from mcp_scheduler.sdk.options import BadOption, checked, checked_name

TYPE_CHECKING = False  # known to type checkers; `typing` itself would cost more than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final, TypeVar, overload

    F = TypeVar("F", bound=Callable[..., Any])
else:

    def overload(call):  # noqa: ANN001, ANN201 (what `typing` does at run time)
        return call


MARK: Final = "__mcp_scheduler__"


class Declaration:
    """What the decorator said: the function's public name in its module, and its options as plain JSON."""

    __slots__ = ("name", "options")

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self.options = options


@overload
def function(call: F, /) -> F: ...


@overload
def function(  # noqa: F811 (an overload)
    *,
    name: str | None = None,
    needs: Mapping[str, float | str] | None = None,
    cpus: float | None = None,
    memory: int | str | None = None,
    gpus: int | None = None,
    gpu_memory: int | str | None = None,
    device: str | None = None,
    retry: int | Mapping[str, Any] | None = None,
    timeout: float | str | None = None,
    idle_timeout: float | str | None = None,
    idempotent: bool | None = None,
    priority: int | None = None,
    tags: Sequence[str] | None = None,
    on_failure: str | Mapping[str, Any] | None = None,
    reads: Sequence[str] | None = None,
    writes: Sequence[str] | None = None,
) -> Callable[[F], F]: ...


def function(  # noqa: F811 (what the overloads describe)
    call: F | None = None,
    /,
    *,
    name: str | None = None,
    needs: Mapping[str, float | str] | None = None,
    cpus: float | None = None,
    memory: int | str | None = None,
    gpus: int | None = None,
    gpu_memory: int | str | None = None,
    device: str | None = None,
    retry: int | Mapping[str, Any] | None = None,
    timeout: float | str | None = None,
    idle_timeout: float | str | None = None,
    idempotent: bool | None = None,
    priority: int | None = None,
    tags: Sequence[str] | None = None,
    on_failure: str | Mapping[str, Any] | None = None,
    reads: Sequence[str] | None = None,
    writes: Sequence[str] | None = None,
) -> F | Callable[[F], F]:
    """Offer a function to the scheduler: bare (`@function`) or with what its tasks need unless a submission says else.

    name: public name instead of the function's own.
    needs: resources reserved before a run; `cpus`, `memory`, `gpus`, `gpu_memory` and `device` can be given directly.
    memory, gpu_memory: bytes, or a text such as "2GB"; gpu_memory is of each GPU.
    retry: attempts in all (3 means twice more), or a dict of max_attempts, delay, factor, max_delay, jitter, on.
    timeout, idle_timeout: seconds, or a text such as "5m".
    idempotent: running it twice does no harm, so it may be repeated after a crash.
    priority: -100 to 100, higher first. tags: words to find its tasks by.
    on_failure: what undoes it, run once after its final failure: the name of a function that is called with the same
    arguments, or a task such as {"command": ["rm", "x"]}.
    reads, writes: names of things; whoever writes one has it alone.

    Raises BadOption (a ValueError) or TypeError at decoration, naming the function and the mistake.
    """
    direct: dict[str, Any] = {
        "cpus": cpus, "memory": memory, "gpus": gpus, "gpu_memory": gpu_memory, "device": device,
    }  # fmt: skip
    rest: dict[str, Any] = {
        "retry": retry, "timeout": timeout, "idle_timeout": idle_timeout, "idempotent": idempotent,
        "priority": priority, "tags": tags, "on_failure": on_failure, "reads": reads, "writes": writes,
    }  # fmt: skip

    def declare(call: F) -> F:
        if not callable(call) or not hasattr(call, "__name__") or isinstance(call, type):
            raise TypeError(f"@function is for functions, not for {call!r}")
        try:
            options = checked({"needs": _joined(needs, direct), **rest})
            setattr(call, MARK, Declaration(checked_name(call.__name__ if name is None else name), options))
        except BadOption as wrong:
            raise BadOption(f"@function on {call.__qualname__}: {wrong}") from None
        return call

    return declare if call is None else declare(call)


def _joined(needs: Any, direct: Mapping[str, Any]) -> Any:
    given = {key: amount for key, amount in direct.items() if amount is not None}
    if not needs:
        return given or None
    twice = [key for key in given if key in needs]
    if twice:
        raise BadOption(f"{twice[0]} is given twice, directly and in needs")
    return {**needs, **given} if given else needs
