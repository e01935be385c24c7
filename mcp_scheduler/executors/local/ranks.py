"""`ranks.py COUNT -- PROGRAM ARGUMENT…`: the ranks of a gang, so many processes of one program that find each other by
the variables that torchrun sets.

All or nothing: when one ends badly the others are ended, and this program ends as that one did. It is a program of its
own between the shim and the ranks, in the shim's tree: stops, limits, output and the record of the end are those of
every command. Standard library only, run by the engine's interpreter.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from types import FrameType

PROGRAM = os.path.abspath(__file__)
ADDRESS = "127.0.0.1"
GRACE = 10  # seconds between SIGTERM and SIGKILL for the others when one has failed


class Gang:
    """The ranks, by process. `failed`: the rank that ended badly first, and how."""

    def __init__(self, count: int, command: list[str]) -> None:
        self._count, self._command = count, command
        self._alive: dict[int, int] = {}
        self._is_stopped = False
        self.failed: tuple[int, int] | None = None

    def run(self) -> int:
        """Start all of them, wait for all of them. The status of the one that failed first, 0 where none did."""
        signal.signal(signal.SIGTERM, self._heed)
        signal.signal(signal.SIGALRM, self._kill)
        port, claim = _free_port()
        with claim:
            for rank in range(self._count):
                if self._is_stopped:  # who has just been started may have missed it
                    self._strike(signal.SIGTERM)
                    break
                self._alive[self._start(rank, port)] = rank
            while self._alive:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
                assert found is not None, "without WNOHANG it waits"
                rank = self._alive.pop(found.si_pid)  # before its number is free: a signal may strike at any line
                _, status = os.waitpid(found.si_pid, 0)
                if status and self.failed is None:
                    self._fail(rank, status)
        return self.failed[1] if self.failed is not None else 0

    def _start(self, rank: int, port: int) -> int:
        """Only the first one reads the command's standard input."""
        told = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "GROUP_RANK": "0",
            "WORLD_SIZE": str(self._count),
            "LOCAL_WORLD_SIZE": str(self._count),
            "MASTER_ADDR": ADDRESS,
            "MASTER_PORT": str(port),
        }
        nothing = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)] if rank else []
        return os.posix_spawn(self._command[0], self._command, told, file_actions=nothing)

    def _fail(self, rank: int, status: int) -> None:
        self.failed = (rank, status)
        if self._is_stopped:
            return  # who stops us tells everybody himself
        sys.stderr.write(f"Rank {rank} of {self._count} {_how(status)}; the others are ended.\n")
        sys.stderr.flush()
        self._strike(signal.SIGTERM)
        signal.alarm(GRACE)

    def _heed(self, _number: int, _frame: FrameType | None) -> None:
        """The shim stops the command, and every process below it hears that."""
        self._is_stopped = True

    def _kill(self, _number: int, _frame: FrameType | None) -> None:
        self._strike(signal.SIGKILL)

    def _strike(self, number: int) -> None:
        for pid in list(self._alive):
            os.kill(pid, number)


def _free_port() -> tuple[int, socket.socket]:
    """A port of the loopback that is free, and the claim to it: no other gang of this host gets it while that is open.
    The kernel drops the claim with this process, however that ends."""
    while True:
        with socket.socket() as probe:
            probe.bind((ADDRESS, 0))
            port = probe.getsockname()[1]
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0mcp-scheduler-rendezvous-{port}")
        except OSError:
            claim.close()
        else:
            return port, claim


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"


def _end_as(status: int) -> int:
    """As the rank did: by its signal, without another dump of memory, or with its exit code."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(_end_as(Gang(int(sys.argv[1]), sys.argv[3:]).run()))
