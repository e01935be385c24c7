"""Commands: from what a client wrote to an argument list that its grant covers, a folder and an environment.

A grant is a guard rail against a misled model. It is not a wall against code that already runs as this user.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from mcp_scheduler import errors
from mcp_scheduler.ports import Environment
from mcp_scheduler.requests import Caller, TaskSpec

_FORBIDDEN: Final = re.compile(
    r"(LD_|DYLD_|PYTHON|GIT_|CUDA_|MCP_SCHEDULER_).*|PATH|BASH_ENV|ENV|IFS|NODE_OPTIONS|PERL5OPT|RUBYOPT"
)
_INTERPRETERS: Final = ("python", "bash", "sh", "node", "perl", "ruby", "uv", "uvx", "npx", "make", "env")
_PYTHONS: Final = ("python", "python3")
_CODE_FLAGS: Final = ("-c", "-e")  # what follows is a program, different each time: no name for a kind of command
_LARGEST_WORD: Final = 128 * 1024  # bytes of one argument: the kernel's limit


def words_of(command: str | Sequence[Any]) -> list[Any]:
    """The argument list. A text is split as a shell splits it, and nothing else of a shell is done with it."""
    if not isinstance(command, str):
        return list(command)
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise errors.InvalidRequest(
            f"The command cannot be split into words: {error}.", hint="Give it as a list: [program, argument, …]."
        ) from None
    if not words:
        raise errors.InvalidRequest("The command is empty.", hint="Give the program and its arguments.")
    shell = next((word for word in words if word in {"|", "||", "&&", ";", ">", ">>", "<", "&", "2>", "2>&1"}), None)
    if shell is not None:
        raise errors.InvalidRequest(
            f"'{shell}' would be passed to {words[0]} as an argument: no shell reads this command.",
            hint='Submit separate tasks (submit_graph), or name the shell yourself: ["bash", "-c", "…"].',
        )
    return words


def command_call(caller: Caller, spec: TaskSpec, environment: Environment) -> dict[str, Any]:
    """The call object of a command that the caller may run; `NotAllowed` says which flag to add in which file."""
    words = words_of(spec.command or [])
    for word in words:
        if isinstance(word, str) and ("\0" in word or len(word.encode(errors="surrogateescape")) > _LARGEST_WORD):
            raise errors.InvalidRequest(
                f"An argument of {str(words[0])[:60]} holds a NUL or has more than {_LARGEST_WORD:,} bytes.",
                hint="Put long texts into a file, or into `stdin`.",
            )
    cwd = folder_of(spec.cwd, environment)
    words[0] = program_of(str(words[0]), cwd, environment)
    if not may_run(caller, words, cwd, environment):
        raise _not_allowed(words)
    call: dict[str, Any] = {"command": words, "cwd": cwd, "env": _checked_env(spec.env or {})}
    if spec.stdin is not None:
        call["stdin"] = spec.stdin
    if spec.ranks is not None:
        call["ranks"] = spec.ranks
    return call


def folder_of(asked: str | None, environment: Environment) -> str:
    """The folder the command runs in: the client's own unless it names another."""
    folder = os.path.join(environment.cwd, os.path.expanduser(asked)) if asked else environment.cwd
    if not os.path.isdir(folder):
        raise errors.InvalidRequest(f"There is no folder {folder}.", hint="Give an existing folder as `cwd`.")
    return os.path.realpath(folder)


def program_of(name: str, cwd: str, environment: Environment) -> str:
    """The program's absolute path, looked up as the client's own shell would; `python` is the client's interpreter."""
    if name in _PYTHONS and environment.python:
        return environment.python
    path = environment.variables.get("PATH", os.defpath)
    if os.sep in name:
        found = os.path.normpath(os.path.join(cwd, os.path.expanduser(name)))
        if os.path.isfile(found) and os.access(found, os.X_OK):
            return found
    elif (here := shutil.which(name, path=path)) is not None:
        return os.path.abspath(here)
    raise _no_program(name, cwd, path)


def _no_program(name: str, cwd: str, path: str) -> errors.InvalidRequest:
    """What stands there instead, and how it would run."""
    here = os.path.normpath(os.path.join(cwd, os.path.expanduser(name)))
    if os.path.isdir(here) and os.sep in name:
        return errors.InvalidRequest(f"{here} is a folder, not a program.", hint="Name a program in it.")
    if os.path.isfile(here):
        if not os.access(here, os.X_OK):
            return errors.InvalidRequest(
                f"{here} may not be executed.", hint=f"chmod +x it, or name its interpreter first: bash {name}."
            )
        return errors.InvalidRequest(
            f"There is no program '{name}' in the PATH of this client.", hint=f"There is one in {cwd}: say ./{name}."
        )
    first, *others = name.split()[:2] or [""]
    if others and (shutil.which(first, path=path) or first in _PYTHONS):
        return errors.InvalidRequest(
            f"There is no program '{name}': that is a whole line.",
            hint=f"Give its words one by one: {name:.80}. A line for a shell: bash -c {shlex.quote(name):.80}.",
        )
    if os.sep in name:
        return errors.InvalidRequest(f"There is no program '{name}' in {cwd}.", hint="Check the path.")
    return errors.InvalidRequest(
        f"There is no program '{name}' in the PATH of this client.", hint="Give its absolute path."
    )


def may_run(caller: Caller, words: Sequence[Any], cwd: str, environment: Environment) -> bool:
    """Whether a pattern of the grant matches the argument list element by element.

    The first element of a pattern is resolved to a program as the command's own is; the others are shell patterns
    (`*`, `?`, `[…]`) for one argument each; a last `*` stands for any number of arguments, none included. An argument
    that is filled in from another task's result matches only that last `*`.
    """
    return caller.any_command or any(_matches(pattern, words, cwd, environment) for pattern in caller.commands)


def _matches(pattern: str, words: Sequence[Any], cwd: str, environment: Environment) -> bool:
    parts = shlex.split(pattern)
    if not parts:
        return False
    try:
        program = program_of(parts[0], cwd, environment)
    except errors.InvalidRequest:
        program = parts[0]
    if not fnmatchcase(str(words[0]), program):
        return False
    wanted, given = parts[1:], list(words[1:])
    if wanted and wanted[-1] == "*":
        wanted = wanted[:-1]
        given = given[: len(wanted)]
    if len(given) != len(wanted):
        return False
    return all(isinstance(word, str) and fnmatchcase(word, part) for word, part in zip(given, wanted, strict=True))


def _not_allowed(words: Sequence[Any]) -> errors.NotAllowed:
    told = shlex.join(str(word) for word in words)
    pattern = f"{os.path.basename(str(words[0]))} *"
    return errors.NotAllowed(
        f"This client may not run `{told[:200]}`.",
        hint=(
            f"The person who owns this machine can allow it: in the client's configuration (printed by "
            f'`mcp-scheduler config`), add "--allow-command", "{pattern}" to the args of mcp-scheduler '
            '(or "--allow-any-command"), and restart the client. Functions need no permission: see list_functions.'
        ),
    )


def _checked_env(env: Mapping[str, str]) -> dict[str, str]:
    bad = [name for name in env if _FORBIDDEN.fullmatch(name) or "=" in name or "\0" in name + env[name]]
    if bad:
        raise errors.NotAllowed(
            f"`env` may not set {', '.join(bad)}: these variables change which code runs.",
            hint="Leave them out. GPUs are chosen by `needs`, the interpreter by the client's configuration.",
        )
    return dict(env)


def head_of(words: Sequence[Any]) -> str:
    """What kind of command this is, for forecasts and lists: the program, and for an interpreter its script."""
    program = os.path.basename(str(words[0]))
    if not program.startswith(_INTERPRETERS):
        return program
    for word in words[1:]:
        if word in _CODE_FLAGS:
            return f"{program} {word}"
        if isinstance(word, str) and not word.startswith("-"):
            return f"{program} {os.path.basename(word)[:60]}"
    return program
