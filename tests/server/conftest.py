from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import mcp_types
import pytest
from mcp import Client
from service_double import ServiceDouble

from mcp_scheduler.server.callers import Guest
from mcp_scheduler.server.protocol import client_name, make_server
from mcp_scheduler.server.tools import Toolbox

Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def service() -> ServiceDouble:
    return ServiceDouble()


@pytest.fixture(params=["auto", "legacy"], ids=["modern", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def connect(service: ServiceDouble, era: str) -> Connect:
    """A client of the server, in memory, in one protocol era."""

    def make(client: str = "test", **options: object) -> Client:
        toolbox = Toolbox(service, clock=service.clock)
        guest = Guest(environment="e")
        server = make_server(toolbox, lambda context: guest.caller(client_name(context)))
        info = mcp_types.Implementation(name=client, version="1")
        return Client(server, mode=era, client_info=info, **options)

    return make
