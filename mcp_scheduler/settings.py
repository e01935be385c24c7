"""Settings: frozen, read once at the composition root. TOML in the home, environment variables, then flags.

`MCP_SCHEDULER_POOL__CPUS=4` in the environment is `[pool] cpus = 4` in `config.toml`.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from mcp_scheduler.errors import InvalidRequest


class Room(BaseModel):
    """One room's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Pool(Room):
    """What this host offers to tasks."""

    cpus: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="CPUs for tasks; all that this process may use"
    )
    least_cpus: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="CPUs that tasks get at least: the pool grows from here to `cpus` while tasks wait and the host has"
        " room, and shrinks again; not set: all of `cpus`, always",
    )
    memory: int | None = Field(default=None, description="Bytes of memory for tasks; default 90 % of the host's")
    memory_limit: float = Field(
        default=95.0,
        description="Percent of the host's memory, in use or expected within a minute, beyond which nothing more is"
        " started while tasks run",
    )
    resources: dict[str, float] = Field(default_factory=dict, description="Named resources, such as licences")
    gpus: bool = Field(
        default=True, description="Offer NVIDIA GPUs to tasks that need them, hide them from others; false: hands off"
    )
    devices: list[dict[str, Any]] = Field(
        default_factory=list[dict[str, Any]],
        description="Accelerators without NVML: id, label, memory, variable, value, watts of each",
    )
    grace: float = Field(default=5.0, description="Seconds between the polite request to end and the kill")
    idle_workers: float = Field(default=300.0, description="Seconds after which an idle warm worker is ended")
    calls_per_worker: int = Field(default=20_000, description="Calls after which a worker is replaced by a fresh one")
    worker_growth: int = Field(default=2**30, description="Bytes a worker may grow before it is replaced")
    quarantine_after: Annotated[int, Field(ge=0)] = Field(
        default=3,
        description="Attempts in a row without a result (lost, crashed) after which a device or node is withheld; 0 is"
        " never",
    )
    quarantine_seconds: Annotated[float, Field(gt=0)] = Field(
        default=30.0,
        description="Seconds for which it is withheld the first time; each further time lasts twice as long",
    )
    quarantine_longest: Annotated[float, Field(gt=0)] = Field(
        default=900.0, description="Seconds for which it is withheld at most before one task tries it again"
    )
    watts_idle: Annotated[float, Field(ge=0)] = Field(
        default=3.0, description="Watts of a CPU that is ready and has no work, for the energy of plans"
    )
    watts_cpu: Annotated[float, Field(ge=0)] = Field(default=12.0, description="Watts of a CPU at work")
    watts_device_idle: Annotated[float, Field(ge=0)] = Field(
        default=50.0, description="Watts of a device that is ready and has no work"
    )
    watts_device: Annotated[float, Field(ge=0)] = Field(
        default=300.0, description="Watts of a device at work, where the driver does not tell its power limit"
    )
    output_head: int = Field(default=2**20, description="Bytes kept from the beginning of an attempt's output")
    output_tail: int = Field(default=2**20, description="Bytes kept from its end")


class Queue(Room):
    """Order and limits."""

    policy: str = Field(
        default="balanced",
        description="Order of the waiting tasks: balanced, fifo, round_robin, priority, load_aware, shortest, edf,"
        " rate_monotonic, fair_share, time_slice, adaptive, or one of another package; `mcp-scheduler policy` chooses"
        " at run time",
    )
    ageing: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="Of balanced and shortest: seconds of waiting that double a task's score;"
        " 0 takes 64 mean run times of late",
    )
    steepness: Annotated[float, Field(ge=0.25, le=8)] = Field(
        default=1.0, description="The power to which ageing is raised: more of it shortens the longest wait"
    )
    quantum: Annotated[float, Field(ge=0.1)] = Field(
        default=10.0,
        description="Of time_slice: seconds after which what runs makes way for others of equal or higher rank",
    )
    expire: bool = Field(
        default=True,
        description="Whether a task that still waits at its deadline fails as expired; false: it runs late",
    )
    max_queued: int = Field(
        default=1_000_000, description="Unfinished tasks at most; beyond that submissions are refused"
    )
    max_arguments: int = Field(default=2**20, description="Bytes of one call's JSON at most")
    keep_days: float = Field(default=30.0, description="Days that finished tasks are kept")
    keep_tasks: int = Field(default=50_000, description="Finished tasks that are kept at most")
    timeout: float | None = Field(default=None, description="Seconds; the timeout of tasks that name none")
    retry_share: Annotated[float, Field(ge=0)] = Field(
        default=0.2,
        description="Retries of a function as a share of its first attempts; where they are used up, what fails is not"
        " retried",
    )
    retries_per_minute: Annotated[float, Field(ge=0)] = Field(
        default=10.0, description="Retries of a function that are allowed each minute beside that share"
    )
    retry_burst: Annotated[int, Field(ge=1)] = Field(
        default=100, description="Retries of a function that are allowed in a row before the share matters"
    )
    batch_seconds: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Seconds between the beginnings of two decisions at least: what comes in meanwhile is decided and"
        " stored together. More of it costs latency and saves disk writes; 0 decides at once",
    )


class Inputs(Room):
    """Files that are kept as they are at submission (`inputs`)."""

    allow: list[str] = Field(
        default_factory=list, description="Folders that every client may name, beside its own working folder"
    )
    task_bytes: int = Field(default=2 * 2**30, description="Bytes of one task's inputs at most")
    task_files: int = Field(default=10_000, description="Files of one task's inputs at most")
    store_bytes: int = Field(
        default=20 * 2**30, description="Bytes that the inputs of all tasks may have together; equal files count once"
    )


class Engine(Room):
    """The engine process itself."""

    idle_exit: float = Field(
        default=600.0, description="Seconds without a door and without work after which the engine leaves"
    )
    log_level: str = Field(default="INFO", description="Level of engine.log")
    allow_nested: bool = Field(default=False, description="Whether running tasks may open a door of their own")


class Forecasts(Room):
    """What is learnt from the past."""

    train_every: float = Field(
        default=3600.0,
        description="Seconds between two looks at histories with scikit-learn and river, where those are installed;"
        " 0 is never",
    )


class Http(Room):
    """Streamable HTTP (`mcp-scheduler serve`)."""

    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=0, description="Port; 0 picks a free one")
    allowed_hosts: list[str] = Field(default_factory=list, description="Values of the Host header besides loopback")
    allowed_origins: list[str] = Field(default_factory=list, description="Values of the Origin header")


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="MCP_SCHEDULER_", env_nested_delimiter="__"
    )

    pool: Pool = Field(default_factory=Pool)
    queue: Queue = Field(default_factory=Queue)
    inputs: Inputs = Field(default_factory=Inputs)
    engine: Engine = Field(default_factory=Engine)
    forecasts: Forecasts = Field(default_factory=Forecasts)
    http: Http = Field(default_factory=Http)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load(home: Path, **flags: Any) -> Settings:
    """The settings of this home; flags win over the environment, the environment over `config.toml`."""

    class OfThisHome(Settings):
        model_config = SettingsConfigDict(toml_file=home / "config.toml")

    try:
        return OfThisHome(**flags)
    except ValidationError as error:
        told = "; ".join(
            _told(one["type"], [str(step) for step in one["loc"]], one["msg"]) for one in error.errors()[:5]
        )
        raise InvalidRequest(
            f"The settings cannot be used: {told}.",
            hint=f"Mend {home / 'config.toml'}, or the MCP_SCHEDULER_ variables of the environment.",
        ) from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{home / 'config.toml'} is not TOML: {error}.", hint="Write it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{home / 'config.toml'} is not TOML: {error}.", hint="Mend that line.") from None
    except OSError as error:
        raise InvalidRequest(f"{home / 'config.toml'} cannot be read: {error.strerror}.") from None


def _told(kind: str, place: list[str], message: str) -> str:
    """What is wrong with the setting at `place`; of one that there is not, which is probably meant."""
    name = ".".join(place)
    if kind != "extra_forbidden":
        return f"{name}: {message}"
    room = Settings.model_fields[place[0]].annotation if len(place) > 1 else Settings
    known = room.model_fields if isinstance(room, type) and issubclass(room, BaseModel) else {}
    near = difflib.get_close_matches(place[-1], known, n=1)
    return f"there is no setting {name}" + (f" (did you mean {'.'.join([*place[:-1], *near])}?)" if near else "")


def usable_cpus() -> float:
    """CPUs this process may run on."""
    return float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
