"""The data folder of one engine: where it lies, who may use it, who serves it, and where its socket is.

Standard library only, and little of it: every client's start imports this file.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import sys
import time

from mcp_scheduler._version import __version__

TYPE_CHECKING = False  # typing, too, is dear at a client's start
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ADDRESS_LIMIT = 100  # bytes of a unix socket's path; the systems allow 104 to 108
NAME_ROOM = 24  # bytes kept free for the names of sockets below the folder, as "/run/0123abcd.sock"
LOG_LIMIT = 4 * 1024 * 1024
EXIT_LOCKED = 17  # exit code of an engine process that found the home served by another one


class DoorError(Exception):
    """The way to the engine is closed. `code` and `hint` are those of `mcp_scheduler.errors`."""

    def __init__(self, message: str, *, code: str = "unavailable", hint: str = "") -> None:
        self.message = message
        self.code = code
        self.hint = hint
        super().__init__(f"{message} {hint}".strip())


def digest(text: str) -> str:
    """16 hexadecimal digits that stand for `text`."""
    import hashlib  # noqa: PLC0415 - loads OpenSSL: not at every client's start

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def version_key(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, for comparison: "0.10.2.dev1" is (0, 10, 2)."""
    numbers: list[int] = []
    for part in version.split(".")[:3]:
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)


def own_folder(path: str) -> None:
    """Make `path` a folder that only this user can enter; `DoorError` if it is a symlink or somebody else's."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.lstat(path)
    except OSError as error:
        raise DoorError(f"The folder {path} cannot be used: {error.strerror}.", hint=_HOME_HINT) from None
    _check_owner(path, found)
    if stat.S_IMODE(found.st_mode) & 0o077:
        os.chmod(path, 0o700)


_HOME_HINT = "Name another folder with --home or MCP_SCHEDULER_HOME."


def _check_owner(path: str, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a folder"
        raise DoorError(f"{path} is {what}; the scheduler keeps its data in a real folder only.", hint=_HOME_HINT)
    if found.st_uid != os.geteuid():
        raise DoorError(f"The folder {path} belongs to another user (uid {found.st_uid}).", hint=_HOME_HINT)


class Home:
    """One data folder. Making the object touches nothing; `prepare` makes the folder and checks it."""

    __slots__ = ("_environ", "path")

    def __init__(self, path: str, environ: Mapping[str, str] = os.environ) -> None:
        """`path` may be relative or begin with `~`. Symlinks above the last part are resolved, never the last."""
        parent, name = os.path.split(os.path.abspath(os.path.expanduser(path)))
        self.path = os.path.join(os.path.realpath(parent), name)
        self._environ = environ

    @classmethod
    def find(cls, option: str = "", environ: Mapping[str, str] = os.environ) -> Home:
        """The home that `--home` names, else MCP_SCHEDULER_HOME, else the one in the user's data folder."""
        if chosen := option or environ.get("MCP_SCHEDULER_HOME", ""):
            return cls(chosen, environ)
        shared = environ.get("XDG_DATA_HOME", "")
        if not os.path.isabs(shared):
            shared = os.path.join(os.path.expanduser("~"), ".local", "share")
        return cls(os.path.join(shared, "mcp-scheduler"), environ)

    def file(self, name: str) -> str:
        return os.path.join(self.path, name)

    @property
    def log_file(self) -> str:
        return self.file("engine.log")

    def prepare(self) -> None:
        """Make the folder (0700). `DoorError` when it is a symlink, foreign, or cannot be made."""
        own_folder(self.path)

    def socket_folder(self) -> str:
        """Where sockets may be bound: the home itself, or, where its path is too long for socket addresses, a folder
        named by its hash in the user's runtime folder. For the engine and its children; makes the folder."""
        folder = self._socket_folder()
        if folder != self.path:
            own_folder(os.path.dirname(folder))
            own_folder(folder)
        return folder

    def _socket_folder(self) -> str:
        if _fits(self.path):
            return self.path
        runtime = self._environ.get("XDG_RUNTIME_DIR", "")
        shared = self._environ.get("TMPDIR", "")
        per_user = f"mcp-scheduler-{os.geteuid()}"
        name = digest(self.path)
        if os.path.isabs(runtime) and _fits(folder := os.path.join(runtime, "mcp-scheduler", name)):
            return folder
        if os.path.isabs(shared) and _fits(folder := os.path.join(shared, per_user, name)):
            return folder
        return os.path.join("/tmp", per_user, name)  # noqa: S108 - own_folder and engine_address check the owner

    def engine_address(self) -> str:
        """The socket that the home's engine listens on, if one runs. `DoorError` if somebody else could own it."""
        folders = [self.path]
        address = self.file("engine.sock")
        if not _fits(self.path):
            address = self._distant_address()
            folders += [os.path.dirname(address), os.path.dirname(os.path.dirname(address))]
        for folder in folders:
            if os.path.lexists(folder):
                _check_owner(folder, os.lstat(folder))
        return address

    def _distant_address(self) -> str:
        record = self.engine_record()  # an engine with another XDG_RUNTIME_DIR or TMPDIR than ours tells its address
        if record.get("home") == self.path and (recorded := str(record.get("socket", ""))):
            return recorded
        return os.path.join(self._socket_folder(), "engine.sock")

    def engine_record(self) -> dict[str, Any]:
        """What the engine that holds the lock, or held it last, wrote about itself; {} if there is nothing to read."""
        return _read_json(self.file("engine.lock"))

    def newest(self) -> dict[str, Any]:
        """`version`, `python` and `folder` (of the package, "" if installed) of the newest engine that served here."""
        return _read_json(self.file("newest.json"))

    def record_newest(self, version: str, python: str, folder: str) -> None:
        """Remember this engine as the home's newest, unless a newer one is remembered."""
        if version_key(str(self.newest().get("version", ""))) > version_key(version):
            return
        draft = self.file(f"newest.json.{os.getpid()}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump({"version": version, "python": python, "folder": folder}, file)
        os.replace(draft, self.file("newest.json"))

    def open_log(self) -> int:
        """A file descriptor that appends to the engine's log; a log of more than 4 MiB becomes engine.log.1 first."""
        try:
            if os.stat(self.log_file).st_size > LOG_LIMIT:
                os.replace(self.log_file, self.log_file + ".1")
        except FileNotFoundError:
            pass  # the first engine of this home, or another door has just moved it
        return os.open(self.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _fits(folder: str) -> bool:
    return len(os.fsencode(folder)) + NAME_ROOM <= ADDRESS_LIMIT


def _read_json(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found: object = json.load(file)
    except (OSError, ValueError):
        return {}  # not there, or just being written
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON


class EngineLock:
    """The right to serve a home: at most one process has it. It ends with the process, however that ends."""

    __slots__ = ("_file", "home")

    def __init__(self, home: Home, file: int) -> None:
        self.home = home
        self._file = file

    @classmethod
    def take(cls, home: Home, *, wait: float = 0.0) -> EngineLock | None:
        """The lock of a prepared home, or None if another process still has it after `wait` seconds."""
        until = time.monotonic() + wait
        while True:
            file = os.open(home.file("engine.lock"), os.O_RDWR | os.O_CREAT, 0o600)
            if _locked(file, home.file("engine.lock")):
                lock = cls(home, file)
                lock._write_record()
                return lock
            os.close(file)
            if time.monotonic() >= until:
                return None
            time.sleep(0.02)

    def _write_record(self) -> None:
        record = {
            "pid": os.getpid(),
            "version": __version__,
            "python": sys.executable,
            "started": time.time(),  # noqa: TID251 - for people; nothing is decided by it
            "home": self.home.path,
            "socket": os.path.join(self.home.socket_folder(), "engine.sock"),
        }
        text = json.dumps(record).encode()
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text, 0)

    def release(self) -> None:
        os.close(self._file)


def _locked(file: int, path: str) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    try:
        named = os.stat(path)
    except FileNotFoundError:
        return False
    # Somebody may have removed the file between our open and our lock: then two processes could hold "the" lock.
    return named.st_ino == os.fstat(file).st_ino and named.st_dev == os.fstat(file).st_dev
