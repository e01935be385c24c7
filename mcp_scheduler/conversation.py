"""What a relay remembers of an MCP conversation, so that it can go on with another engine when one has died.

Pure: lines in, lines out. A line ends with its newline. Standard library only: every client's start imports this file.
"""

from __future__ import annotations

import json

from mcp_scheduler.vigil import QUESTION_ID

TYPE_CHECKING = False  # typing, too, is dear at a client's start
if TYPE_CHECKING:
    from typing import Any

MODERN = "io.modelcontextprotocol/protocolVersion"  # in a request's _meta: it is of an era without handshake
INTERNAL_ERROR = -32603
# A request during which engines keep dying is likely what kills them: then its client is told so.
RESENDINGS = 20
ASKED_AT_MOST = 900  # requests under way; an engine takes 1,000 of a door and then reads no further
LISTEN = "subscriptions/listen"  # unanswered as long as its stream lives
LASTING = ("logging/setLevel", "resources/subscribe")  # answered once, in force until the connection ends


class Unanswered:
    """A request that has been read from the client and has no answer yet."""

    __slots__ = ("line", "method", "sent")

    def __init__(self, line: bytes, method: str) -> None:
        self.line = line
        self.method = method
        self.sent = 1


class Conversation:
    """One client's side of the story: its handshake, what it waits for, and what the engine waits for from it.

    Ids are told apart by type, as JSON writes them: 1 and "1" are two requests. The ids of an engine's own requests
    start anew with every engine, so from the second on they are marked with its number on the way out, and unmarked
    on the way back: an answer to a question of a dead engine never answers one of its successor.
    """

    def __init__(self) -> None:
        self._unanswered: dict[str, Unanswered] = {}
        self._initialize = b""
        self._initialize_key = ""
        self._initialized = b""
        self._lasting: dict[str, tuple[str, bytes]] = {}  # what it is about → its request's key, its line
        self._swallow: set[str] = set()  # answers that the client has had from an earlier engine
        self._asked: dict[str, Any] = {}  # the engine's open questions: key → id as the client knows it
        self._engine = 0  # how many engines there were before this one

    @property
    def waits(self) -> bool:
        """Whether the client still waits for an answer (streams, which have no end, do not count)."""
        return any(request.method != LISTEN for request in self._unanswered.values())

    @property
    def expects_answer(self) -> bool:
        """Whether an engine that says nothing is to be asked if it lives: it owes an answer, and would hear us."""
        return len(self._unanswered) < ASKED_AT_MOST and self.waits

    @property
    def is_replaying(self) -> bool:
        """Whether a new engine still has to answer the old handshake."""
        return self._initialize_key in self._swallow

    # --- lines on their way ---

    def from_client(self, line: bytes) -> bytes:
        """What the engine shall get for a line of the client; b"" for nothing."""
        message = _parsed(line)
        if message is None:
            return line  # not ours to judge
        method: object = message.get("method")
        if method is None:
            return self._answer_of_client(line, message)
        if isinstance(method, str):
            if _is_id(message.get("id")):
                self._note_request(line, method, message)
            elif method == "notifications/initialized":
                self._initialized = line
            elif method == "notifications/cancelled":
                self._unanswered.pop(_key(_params(message).get("requestId")), None)
        return line

    def from_engine(self, line: bytes) -> bytes:
        """What the client shall get for a line of the engine; b"" for nothing."""
        message = _parsed(line)
        if message is None:
            return line
        if "method" in message:
            return self._question_of_engine(line, message)
        key = _key(message.get("id"))
        if key in self._swallow:
            self._swallow.discard(key)
            return b""
        self._unanswered.pop(key, None)
        if key == self._initialize_key and "error" in message:
            self._forget_handshake()
        return line

    def _note_request(self, line: bytes, method: str, message: dict[str, Any]) -> None:
        key = _key(message["id"])
        self._unanswered[key] = Unanswered(line, method)
        if method == "initialize":
            self._forget_handshake()
            self._initialize, self._initialize_key = line, key
        elif method in LASTING:
            self._lasting[f"{method} {_params(message).get('uri', '')}"] = (key, line)
        elif method == "resources/unsubscribe":
            self._lasting.pop(f"resources/subscribe {_params(message).get('uri', '')}", None)

    def _answer_of_client(self, line: bytes, message: dict[str, Any]) -> bytes:
        key = _key(message.get("id"))
        if self._engine == 0:
            self._asked.pop(key, None)
            return line
        if key not in self._asked:
            return b""  # the engine that asked is dead
        del self._asked[key]
        return _line(message | {"id": json.loads(message["id"].partition(":")[2])})

    def _question_of_engine(self, line: bytes, message: dict[str, Any]) -> bytes:
        if _is_id(message.get("id")):
            marked = self._marked(message["id"])
            self._asked[_key(marked)] = marked
            return line if self._engine == 0 else _line(message | {"id": marked})
        if message["method"] == "notifications/cancelled" and self._engine > 0:
            params = _params(message)
            marked = self._marked(params.get("requestId"))
            if self._asked.pop(_key(marked), None) is not None:
                return _line(message | {"params": params | {"requestId": marked}})
        return line

    def _marked(self, number: Any) -> Any:
        return number if self._engine == 0 else f"engine-{self._engine}:{json.dumps(number)}"

    # --- when an engine is gone ---

    def engine_lost(self) -> bytes:
        """The engine is gone: what to tell the client at once (its open questions are void)."""
        void = [
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": asked}}
            for asked in self._asked.values()
        ]
        self._asked.clear()
        self._swallow.clear()
        self._engine += 1
        return b"".join(_line(message) for message in void)

    def handshake(self) -> bytes:
        """What a new engine gets first; its answer is swallowed, and until then `is_replaying`. b"" where there is
        no handshake to repeat: a modern client, or one that is still in it."""
        if not self._initialize or self._initialize_key in self._unanswered:
            return b""
        self._swallow.add(self._initialize_key)
        return self._initialize

    def unfinished(self) -> bytes:
        """What a new engine gets after the handshake: everything unanswered, in the order in which it came."""
        lines: list[bytes] = []
        if self._initialize and self._initialize_key not in self._unanswered:
            lines.append(self._initialized)
            for key, line in self._lasting.values():
                if key not in self._unanswered:
                    self._swallow.add(key)
                    lines.append(line)
        for request in self._unanswered.values():
            request.sent += 1
            lines.append(request.line)
        return b"".join(lines)

    def swallow_sign_of_life(self) -> None:
        """The engine was asked whether it lives (`vigil`); its answer is not the client's."""
        self._swallow.add(_key(QUESTION_ID))

    def give_up(self, text: str, *, only_worn: bool = False, answers_may_come: bool = False) -> bytes:
        """Answers, for the client, to everything unanswered, or `only_worn`: to what was sent again too often.
        `answers_may_come`: the engine still has it all and is late; streams stay open then.

        A tool call gets a result that the model can read, everything else an error of the protocol.
        """
        answers: list[bytes] = []
        for key, request in list(self._unanswered.items()):
            if only_worn and (request.sent <= RESENDINGS or request.method == LISTEN):
                continue
            if answers_may_come:
                if request.method == LISTEN:
                    continue
                self._swallow.add(key)
            del self._unanswered[key]
            if key == self._initialize_key:
                self._forget_handshake()
            answers.append(_failure(request, text))
        return b"".join(answers)

    def _forget_handshake(self) -> None:
        self._initialize = self._initialized = b""
        self._initialize_key = ""
        self._lasting.clear()


def _failure(request: Unanswered, text: str) -> bytes:
    message: dict[str, Any] = json.loads(request.line)
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    if request.method != "tools/call":
        return _line(answer | {"error": {"code": INTERNAL_ERROR, "message": text}})
    result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": True}
    meta: object = _params(message).get("_meta")
    if isinstance(meta, dict) and MODERN in meta:
        result["resultType"] = "complete"
    return _line(answer | {"result": result})


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        message: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None  # pyright: ignore[reportUnknownVariableType] - JSON


def _params(message: dict[str, Any]) -> dict[str, Any]:
    params: object = message.get("params")
    return params if isinstance(params, dict) else {}  # pyright: ignore[reportUnknownVariableType] - JSON


def _is_id(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _key(number: object) -> str:
    return repr(number)


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
