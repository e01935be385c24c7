"""The few kernel calls that starting and collecting processes needs. Standard library only; Linux."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# An ignored signal would stay ignored across exec.
_TO_DEFAULT = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD)
_libc = ctypes.CDLL(None, use_errno=True)
ROOM = 3.0  # seconds that a start waits while the limit of processes is reached
_PAUSE = (0.005, 0.1)  # first and longest pause between two tries


def become_subreaper() -> None:
    """From now on every orphan below this process becomes its child, however often it forked."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def heed(_signum: int, _frame: FrameType | None) -> None:
    """Do nothing: that Python has something to call is what makes it write to the wake-up descriptor."""


def catch_children() -> socket.socket:
    """A socket that becomes readable when a child has ended."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, heed)
    return reading


def spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    stdio: tuple[int, int, int],
    inherited: Sequence[int] = (),
) -> int:
    """Start a program in a session of its own that dies with this process; its pid.

    Must be called in the main thread of a process that lives as long as the child may: the kernel's death signal is
    bound to the creating thread. Errors: OSError with what could not be done (folder, program, too many arguments).
    """
    reading, writing = os.pipe()  # closed by a successful exec, written by a failed one
    pid = patiently(os.fork)
    if pid == 0:
        os.close(reading)
        _exec(argv, env, cwd, (stdio, inherited), failure=writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        failure = pipe.read()
    if failure:
        os.waitpid(pid, 0)
        number, _, subject = failure.decode().partition(" ")
        raise OSError(int(number), os.strerror(int(number)), subject)
    return pid


def spawn_command(argv: list[str], env: Mapping[str, str], cwd: str, stdio: tuple[int, int, int]) -> int:
    """Start a program in a session of its own; its pid. Five times cheaper than `spawn`, because this process is not
    copied, and without a death signal: who kills the shim leaves the program to the cookie.

    Errors: OSError, whose `filename` is the folder where that is the trouble; ValueError for a NUL byte.
    """
    os.chdir(cwd)  # this process has one thread, and no use for a folder of its own
    try:
        return patiently(
            lambda: os.posix_spawn(
                argv[0],
                argv,
                env,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(stdio)],
                setsid=True,
                setsigdef=_TO_DEFAULT,
            )
        )
    finally:
        os.chdir("/")


def patiently(start: Callable[[], int]) -> int:
    """The pid that `start` gives. While the limit of processes is reached it is tried again for `ROOM` seconds:
    processes end all the time, and what nobody could start has done nothing. Errors: OSError, as `start`."""
    ends = time.monotonic() + ROOM
    pause, longest = _PAUSE
    while True:
        try:
            return start()
        except BlockingIOError:  # EAGAIN
            if time.monotonic() >= ends:
                raise
        time.sleep(pause)
        pause = min(2 * pause, longest)


def _exec(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    passed: tuple[tuple[int, int, int], Sequence[int]],
    *,
    failure: int,
) -> NoReturn:
    subject = argv[0]
    stdio, inherited = passed
    try:
        os.setsid()  # what the program does to its process group does not reach us
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for signum in _TO_DEFAULT:
            signal.signal(signum, signal.SIG_DFL)
        for target, fd in enumerate(stdio):
            os.dup2(fd, target)
        for fd in inherited:
            os.set_inheritable(fd, True)
        subject = cwd
        os.chdir(cwd)
        subject = argv[0]
        os.execvpe(argv[0], list(argv), env)  # noqa: S606 (a user's text never meets a shell)
    except OSError as error:
        os.write(failure, f"{error.errno} {subject}".encode())
    except ValueError:  # a NUL byte in an argument or a variable
        os.write(failure, b"22 " + subject.encode(errors="replace"))
    finally:
        os._exit(127)


@functools.cache
def boot_id() -> str:
    """Names the running boot of this machine: a process of another boot is certainly gone."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def oom_kills() -> int:
    """How many processes of this control group the kernel has killed for want of memory; 0 where nothing tells."""
    source = _oom_source()
    try:
        rows = [] if source is None else [line.split() for line in _content(source).splitlines()]
    except OSError:
        return 0
    return next((int(row[1]) for row in rows if row and row[0] == b"oom_kill"), 0)


@functools.cache
def _oom_source() -> str | None:
    """The counter of this process's control group, of either version; None where there is none."""
    try:
        groups = _content("/proc/self/cgroup").decode().splitlines()
    except OSError:
        return None
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            source = f"/sys/fs/cgroup{path}/memory.events"
        elif "memory" in controllers.split(","):
            source = f"/sys/fs/cgroup/memory{path}/memory.oom_control"
        else:
            continue
        if os.access(source, os.R_OK):
            return source
    return None


def _content(path: str) -> bytes:
    """Of a small file of the kernel's: read for each command, so without what `open` does around it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)
