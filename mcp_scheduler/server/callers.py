"""Who asks: what a door's hello (or an HTTP token) says about the client, made into the `Caller` of each request."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_scheduler.requests import Caller

if TYPE_CHECKING:
    from mcp_scheduler.server.hello import Door

LOCAL = "local"  # the principal of a client that says nothing about itself


@dataclass(frozen=True, slots=True)
class Guest:
    """A client, as far as it is known before it speaks. `principal` is "" if only its own name can tell."""

    principal: str = ""
    client: str = ""
    environment: str = ""
    door: str = ""
    resumed: bool = False
    isolated: bool = False
    any_command: bool = False
    commands: tuple[str, ...] = ()

    @classmethod
    def at(cls, door: Door) -> Guest:
        """The client behind a door."""
        return cls(
            principal=door.principal,
            client=door.client,
            environment=door.environment.key,
            door=door.id,
            resumed=door.resumed,
            any_command=door.grant.any_command,
            commands=door.grant.commands,
        )

    def caller(self, client: str = "", request: str = "") -> Caller:
        """Who makes the request of that key. `client` is the name that the client gives itself."""
        name = client or self.client
        return Caller(
            principal=self.principal or name[:200] or LOCAL,
            environment=self.environment,
            door=self.door,
            request=request if self.door else "",
            client=name,
            resumed=self.resumed,
            isolated=self.isolated,
            any_command=self.any_command,
            commands=self.commands,
        )


def request_key(ident: int | str, line: bytes) -> str:
    """A request's name across engine lives: its id, and what it says, because some clients use an id twice."""
    told = json.dumps(ident) if isinstance(ident, str) else str(ident)
    return f"{told}:{hashlib.sha256(line).hexdigest()[:16]}"
