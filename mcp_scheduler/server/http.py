"""MCP over streamable HTTP: on loopback, behind a bearer token, for browsers that tell the truth about where they are.

Stateless, answers in JSON: a client may go on with the next engine as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mcp_scheduler.errors import NotAllowed, Unavailable
from mcp_scheduler.server.callers import Guest
from mcp_scheduler.server.sdk import load_sdk
from mcp_scheduler.server.tokens import Authenticator
from mcp_scheduler.server.tools import Toolbox

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mcp_scheduler.requests import Caller
    from mcp_scheduler.server.protocol import Context

PATH: Final = "/mcp"
LARGEST_BODY: Final = 4 * 1024 * 1024  # bytes
_SUBJECT: Final = "mcp_scheduler.subject"  # where the gate leaves it in the ASGI scope


def check_bind(host: str, *, has_authenticator: bool, allowed_hosts: Sequence[str]) -> None:
    """Refuse (`NotAllowed`) to listen beyond loopback unless the operator has said who may come, and by which names."""
    if is_loopback(host):
        return
    lacking: list[str] = []
    if not has_authenticator:
        lacking.append("an authenticator (the generated token of a local file is none)")
    if not allowed_hosts:
        lacking.append("the allowed hosts (the names in the Host header)")
    if lacking:
        raise NotAllowed(
            f"Binding {host} opens the scheduler to other machines. It needs {' and '.join(lacking)}.",
            hint="Bind 127.0.0.1, or reach it through an SSH tunnel.",
        )


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine only. A name other than localhost is not resolved: it may change."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def http_app(
    toolbox: Toolbox,
    authenticator: Authenticator,
    *,
    host: str = "127.0.0.1",
    allowed_hosts: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
    guest: Guest | None = None,
) -> Starlette:
    """The ASGI application. `authenticator` checks every request; `allowed_hosts` and `allowed_origins` (`name:port`,
    `name:*`, `https://name`) come on top of loopback's own. `guest` gives the environment and the grant of all HTTP
    clients; their principal is the token's subject, and each sees its own tasks alone."""
    load_sdk()  # a client of the socket may be importing it in a thread
    from mcp.server.transport_security import TransportSecuritySettings  # noqa: PLC0415 - late: imports the SDK

    from mcp_scheduler.server.protocol import client_name, make_server  # noqa: PLC0415 - late: imports the SDK

    base = guest or Guest()

    def who(context: Context) -> Caller:
        assert context.request is not None, "the transport hands on its request"
        subject: str = context.request.scope[_SUBJECT]  # the gate lets no request pass without
        return replace(base, principal=subject, isolated=True).caller(client_name(context))

    server = make_server(toolbox, who)
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=LARGEST_BODY,
        host=host,
        transport_security=TransportSecuritySettings(
            allowed_hosts=["127.0.0.1:*", "localhost:*", "[::1]:*", *allowed_hosts],
            allowed_origins=["http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*", *allowed_origins],
        ),
    )
    app.add_middleware(_Gate, authenticator=authenticator)
    return app


class _Gate:
    """Lets requests with a good token pass, and leaves the token's subject with them."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            subject = await self._subject(scope)
            if subject is None:
                await _refuse(scope, receive, send)
                return
            scope[_SUBJECT] = subject
        await self._app(scope, receive, send)

    async def _subject(self, scope: Scope) -> str | None:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return None
        kind, _, token = given[0].decode("latin-1").partition(" ")
        return await self._authenticator(token.strip()) if kind.lower() == "bearer" else None


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    from starlette.responses import JSONResponse  # noqa: PLC0415 - late: only servers of HTTP need it

    told = {
        "error": "invalid_token",
        "error_description": "Send `Authorization: Bearer <token>`; the token is in the file http.token of the home.",
    }
    await JSONResponse(told, 401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})(scope, receive, send)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Errors: `Unavailable` if the address is taken."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, number)
    except OSError as error:
        raise Unavailable(f"{host}:{port} cannot be listened on: {error.strerror}.") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise Unavailable(
            f"{host}:{port} cannot be listened on: {error.strerror}.", hint="Choose another --port; 0 takes a free one."
        ) from None
    sock.setblocking(False)
    return sock


@contextlib.asynccontextmanager
async def serve_http(app: Starlette, sock: socket.socket) -> AsyncGenerator[None]:
    """Serve on that socket while the context is open. Signals are left alone: the engine has its own."""
    import uvicorn  # noqa: PLC0415 - late: only servers of HTTP need it

    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign] - uvicorn's would end the engine
    serving = asyncio.create_task(server.serve(sockets=[sock]), name="http")
    try:
        yield
    finally:
        server.should_exit = True
        await serving
