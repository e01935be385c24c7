"""The worker: a process of the user's interpreter that runs the user's functions. Started by path.

`MCP_SCHEDULER_WORKER` holds its order as JSON: worker (its name), listen_fd and now_fd (inherited), attempts, results,
tasks and inputs (folders), sources (files and modules), path (import path), limits (see `calls.Limits`; each may be
absent).
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

PACKAGE: Final = Path(__file__).resolve().parent.parent
EXIT_PATIENCE: Final = 2.0  # seconds for the exit functions of the user's libraries
BROKEN: Final = 70  # exit code of a worker that failed by its own fault


def make_importable(package: Path) -> None:
    """Let `import mcp_scheduler` find this package and nothing that lies beside it: the engine's own packages are of
    another interpreter."""
    if "mcp_scheduler" in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        "mcp_scheduler", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mcp_scheduler"] = module
    spec.loader.exec_module(module)


def main() -> None:
    """Load the sources, then serve calls until told to end. Does not return: what threads user code left behind does
    not hold the process."""
    from mcp_scheduler.sdk.calls import Calls, Limits  # noqa: PLC0415
    from mcp_scheduler.sdk.link import Link  # noqa: PLC0415
    from mcp_scheduler.sdk.now import Now  # noqa: PLC0415
    from mcp_scheduler.sdk.output import private  # noqa: PLC0415
    from mcp_scheduler.sdk.renewal import Code, Renewal  # noqa: PLC0415
    from mcp_scheduler.sdk.sources import load  # noqa: PLC0415

    order: dict[str, Any] = json.loads(os.environ.pop("MCP_SCHEDULER_WORKER"))
    limits = Limits(**order.get("limits") or {})
    now = Now(order["now_fd"])
    os.close(order["now_fd"])
    listener = socket.socket(fileno=private(order["listen_fd"]))
    os.close(order["listen_fd"])
    link = Link(listener, now, worker=order["worker"], attempts=Path(order["attempts"]), alone=limits.alone)
    loaded = load(order["sources"], order.get("path") or ())
    code = Code(str(PACKAGE))
    code.look()
    folders = {"tasks": Path(order["tasks"]), "results": Path(order["results"])}
    calls = Calls(link, now, loaded.functions, limits=limits, kept=order.get("inputs", ""), **folders)
    calls.fingerprint = code.fingerprint()
    link.catalogue = json.dumps({
        "catalogue": {
            "functions": [
                {
                    "name": offered.name, "summary": offered.summary, "parameters": offered.parameters,
                    "options": offered.options, "fingerprint": calls.fingerprint,
                }
                for offered in loaded.functions.values()
            ],
            "problems": loaded.problems,
        }
    })  # fmt: skip
    link.code_changed = code.changed
    threading.Thread(target=_attend, args=(link,), name="attendant", daemon=True).start()
    calls.serve(Renewal(code, most_calls=limits.calls, most_growth=limits.growth))
    _leave()


def _attend(link: Any) -> None:
    try:
        link.attend()
    except BaseException:  # noqa: BLE001 (a worker that nobody attends to is no worker)
        import traceback  # noqa: PLC0415

        traceback.print_exc()
        os._exit(BROKEN)


def _leave() -> None:
    """Exit functions of the user's libraries get a moment; threads and children that are left do not."""
    import atexit  # noqa: PLC0415

    def run_out() -> None:
        time.sleep(EXIT_PATIENCE)
        os._exit(0)

    threading.Thread(target=run_out, daemon=True).start()
    atexit._run_exitfuncs()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] the only way without waiting for threads
    for file in (sys.stdout, sys.stderr):
        try:
            file.flush()
        except (OSError, ValueError):
            continue  # closed by an exit function
    os._exit(0)


# A child that multiprocessing spawns from user code imports this file, too, and then the user's module.
make_importable(PACKAGE)

if __name__ == "__main__":
    sys.path.pop(0)  # this file's folder: its modules are reached through the package only
    main()
