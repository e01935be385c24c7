"""One MCP connection over one door, in whichever protocol era the client speaks.

The MCP SDK takes a second to import. Nothing here imports it before the first client comes or `preload` is called.
"""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, cast

from mcp_scheduler.server.callers import Guest
from mcp_scheduler.server.rehearsal import scripts
from mcp_scheduler.server.sdk import load_sdk
from mcp_scheduler.server.tools import Toolbox
from mcp_scheduler.server.wire import SocketWire, Wire

if TYPE_CHECKING:
    from mcp_scheduler.requests import Caller
    from mcp_scheduler.server.hello import Door
    from mcp_scheduler.server.protocol import Context
    from mcp_scheduler.server.service_port import SchedulerService


async def preload() -> None:
    """Import the SDK in a thread, while the engine already serves others, and let it build what it builds at first
    use. Without it the first client waits a second for that."""
    await asyncio.to_thread(load_sdk)
    nobody = Toolbox(cast("SchedulerService", None))
    for script in scripts():
        await serve_wire(script, nobody, Guest())
    # What has been imported stays: the collector need not walk through it again and again (10 ms each time).
    gc.collect()
    gc.freeze()


async def serve_mcp(door: Door, toolbox: Toolbox) -> None:
    """Serve the door's client until it leaves. When cancelled, open requests stay unanswered: the relay sends them to
    the next engine."""
    toolbox.service.know(door.environment)
    await serve_wire(SocketWire(door.reader, door.writer), toolbox, Guest.at(door), resent=True)


async def serve_wire(wire: Wire, toolbox: Toolbox, guest: Guest, *, resent: bool = False) -> None:
    """Serve one client over any wire. `resent`: see `protocol.make_server`."""
    await asyncio.to_thread(load_sdk)  # a client that comes before the preload is done waits for it
    from mcp.server.runner import serve_loop  # noqa: PLC0415 - late: the SDK

    from mcp_scheduler.server.protocol import client_name, make_server  # noqa: PLC0415 - late: imports the SDK
    from mcp_scheduler.server.stream import WireStream  # noqa: PLC0415 - late: imports the SDK

    def who(context: Context) -> Caller:
        key = context.request if isinstance(context.request, str) else ""
        return guest.caller(client_name(context), key)

    server = make_server(toolbox, who, resent=resent)
    stream = WireStream(wire)
    options = server.create_initialization_options()
    if not await stream.opens_with_handshake():
        await server.run(stream, stream, options)
        return
    # `run` would have each message handed on by one more task, in case that the era is still to be found out.
    async with server.lifespan(server) as state:
        await serve_loop(server, stream, stream, lifespan_state=state, init_options=options)
