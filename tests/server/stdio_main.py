"""A server over the standard streams with the service double behind it."""

from __future__ import annotations

import asyncio

from service_double import ServiceDouble

from mcp_scheduler.hello import make_hello
from mcp_scheduler.server.stdio import serve_stdio
from mcp_scheduler.server.tools import Toolbox


class Talkative(ServiceDouble):
    async def load(self, caller):
        print("this print must not reach the protocol")
        return await super().load(caller)


if __name__ == "__main__":
    asyncio.run(serve_stdio(Toolbox(Talkative()), make_hello("mcp", client="embedded")))
