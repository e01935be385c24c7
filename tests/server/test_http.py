from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import jsonschema
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from service_double import ServiceDouble

from mcp_scheduler.errors import NotAllowed, Unavailable
from mcp_scheduler.server.callers import Guest
from mcp_scheduler.server.http import LARGEST_BODY, check_bind, http_app, is_loopback, listen, serve_http
from mcp_scheduler.server.tokens import read_or_make_token, token_authenticator
from mcp_scheduler.server.tools import TOOLS, Toolbox

pytestmark = pytest.mark.anyio
TOKEN = "t" * 43


@asynccontextmanager
async def served(service: ServiceDouble, **options):
    app = http_app(
        Toolbox(service, clock=service.clock),
        token_authenticator(TOKEN, "remote"),
        guest=Guest(environment="e9", commands=("python *",)),
        **options,
    )
    sock = listen("127.0.0.1", 0)
    async with serve_http(app, sock):
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/mcp"


def web(token: str = TOKEN, **headers: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"} | headers)


async def post(url: str, *, token: str = TOKEN, body: bytes = b"{}", **headers: str) -> httpx2.Response:
    common = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    async with web(token) as client:
        return await client.post(url, content=body, headers=common | headers)


async def test_a_client_with_the_token_is_served(service: ServiceDouble, era: str):
    async with (
        served(service) as url,
        web() as http,
        Client(streamable_http_client(url, http_client=http), mode=era) as client,
    ):
        assert len((await client.list_tools()).tools) == len(TOOLS)
        answer = await client.call_tool("submit_task", {"function": "tools.add"})
        jsonschema.validate(answer.structured_content, TOOLS["submit_task"].gives)
    caller = service.callers[-1]
    assert (caller.principal, caller.isolated, caller.environment) == ("remote", True, "e9")
    assert (caller.door, caller.request, caller.any_command, caller.commands) == ("", "", False, ("python *",))


async def test_nobody_is_served_without_the_token(service: ServiceDouble):
    async with served(service) as url:
        assert (await post(url, token="wrong")).status_code == 401
        assert (await post(url, token="a b")).status_code == 401
        refused = await post(url, token=TOKEN[:-1])
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert not service.callers


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Host", "evil.example", 421),
        ("Host", "127.0.0.1.evil.example:80", 421),
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Content-Type", "text/plain", 400),
    ],
)
async def test_other_hosts_origins_and_types_are_refused(service: ServiceDouble, header: str, value: str, status: int):
    async with served(service) as url:
        assert (await post(url, **{header: value})).status_code == status


async def test_an_allowed_host_is_served(service: ServiceDouble):
    async with served(service, allowed_hosts=["sched.example:*"]) as url:
        assert (await post(url, Host="sched.example:80")).status_code not in (401, 403, 421)


async def test_a_body_that_is_too_large_is_refused(service: ServiceDouble):
    async with served(service) as url:
        assert (await post(url, body=b" " * (LARGEST_BODY + 1))).status_code == 413


async def test_an_address_that_is_taken_is_said_so():
    sock = listen("127.0.0.1", 0)
    try:
        with pytest.raises(Unavailable, match="Choose another --port"):
            listen("127.0.0.1", sock.getsockname()[1])
    finally:
        sock.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.3.4.5"])
def test_loopback_needs_nothing_more(host: str):
    assert is_loopback(host)
    check_bind(host, has_authenticator=False, allowed_hosts=())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", "", "127.0.0.1.evil.example"])
def test_any_other_bind_needs_an_authenticator_and_allowed_hosts(host: str):
    with pytest.raises(NotAllowed, match=r"authenticator .* and the allowed hosts"):
        check_bind(host, has_authenticator=False, allowed_hosts=())
    with pytest.raises(NotAllowed, match="needs the allowed hosts"):
        check_bind(host, has_authenticator=True, allowed_hosts=())
    with pytest.raises(NotAllowed, match="needs an authenticator"):
        check_bind(host, has_authenticator=False, allowed_hosts=["a:*"])
    check_bind(host, has_authenticator=True, allowed_hosts=["a:*"])


def test_the_token_is_made_once_and_only_we_can_read_it(tmp_path: Path):
    file = tmp_path / "http.token"
    token = read_or_make_token(file)
    assert len(token) >= 40
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_or_make_token(file) == token


def test_a_token_that_others_could_read_is_refused(tmp_path: Path):
    file = tmp_path / "http.token"
    file.write_text("x")
    file.chmod(0o644)
    with pytest.raises(NotAllowed, match="Delete it"):
        read_or_make_token(file)
    file.unlink()
    other = tmp_path / "other"
    other.write_text("x")
    file.symlink_to(other)
    with pytest.raises(NotAllowed, match="Delete it"):
        read_or_make_token(file)
