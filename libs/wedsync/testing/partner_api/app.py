"""The simulator as an ASGI application: the Partner API, and `/_sandbox/` to steer and question it.

It takes load tests, so there is no framework between the server and the records.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from wedsync.testing.partner_api.collection import Collection
from wedsync.testing.partner_api.refusal import Refused
from wedsync.testing.partner_api.sandbox import BASE, Sandbox

CONTROL = "/_sandbox"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = tuple[int, Any, str]
"""Status, body (None for none) and ETag (empty for none)."""

_MAX_BODY = 1024 * 1024
_DEFAULT_LIMIT, _MAX_LIMIT = 100, 1000
_JSON, _PROBLEM = (b"content-type", b"application/json"), (b"content-type", b"application/problem+json")


class App:
    """One account's API."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox, self._allowed = sandbox, f"Bearer {sandbox.token}".encode()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            body = await _body(receive) if scope["method"] in {"PUT", "POST"} else None
            status, told, etag = self._answered(scope, body)
            headers = [_JSON, *[(b"etag", etag.encode())] * bool(etag)]
        except Refused as refused:
            status, headers = refused.status, [_PROBLEM]
            told = {"status": refused.status, "detail": refused.detail}
        if self._sandbox.answer_delay_ms and not scope["path"].startswith(CONTROL):
            await self._sandbox.clock.sleep(self._sandbox.answer_delay_ms / 1000)
        content = b"" if told is None else orjson.dumps(told)
        headers.append((b"content-length", b"%d" % len(content)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _answered(self, scope: Mapping[str, Any], body: Any) -> Answer:
        path = scope["raw_path"].decode("ascii", "replace")
        query = dict(parse_qsl(scope["query_string"].decode("ascii", "replace")))
        if path.startswith(CONTROL):
            return 200, self._steered(scope["method"], path.removeprefix(CONTROL), body), ""
        if not path.startswith(f"{BASE}/"):
            raise Refused(404, "There is nothing here.")
        headers = dict(scope["headers"])
        if headers.get(b"authorization") != self._allowed:
            raise Refused(401, "The token is not valid.")
        steps = [unquote(step) for step in path.removeprefix(f"{BASE}/").split("/")]
        return self._called(scope["method"], steps, query, headers, body)

    def _called(
        self,
        method: str,
        steps: list[str],
        query: Mapping[str, str],
        headers: Mapping[bytes, bytes],
        body: Any,
    ) -> Answer:
        sandbox = self._sandbox
        match method, steps:
            case "GET", ["account"]:
                return 200, {"id": "partner", "name": "Sandbox Partner"}, ""
            case "GET", ["collections"]:
                listed = [{"id": c.collection_id, "name": c.name} for c in sandbox.collections.values()]
                return 200, {"collections": listed}, ""
            case "GET", ["collections", name, "records"]:
                sandbox.calls["GET records"] += 1
                return 200, self._collection(name).page(query.get("after"), _limit(query)), ""
            case (("GET" | "PUT" | "DELETE"), ["collections", name, "records", record_id]):
                sandbox.calls[f"{method} record"] += 1
                return _on_record(method, self._collection(name), record_id, headers, body)
        raise Refused(404, "There is nothing here.")

    def _collection(self, name: str) -> Collection:
        found = self._sandbox.collections.get(name)
        if found is None and self._sandbox.opens_collections:
            found = self._sandbox.add(name)
        if found is None:
            raise Refused(404, "There is no such collection.")
        return found

    def _steered(self, method: str, path: str, body: Any) -> Any:
        sandbox = self._sandbox
        match method, path, body:
            case "POST", "/webhook", {"url": str(url)}:
                sandbox.deliveries.url = url
            case "POST", "/answer-delay", {"ms": int() | float() as milliseconds}:
                sandbox.answer_delay_ms = milliseconds
            case "POST", "/collections", {"id": str(name)}:
                sandbox.add(name)
            case "POST", "/forget-cursors", _:
                sandbox.forget_cursors()
            case "GET", "/calls", _:
                return {"calls": sandbox.calls, "webhooks_lost": sandbox.deliveries.lost}
            case "DELETE", "/calls", _:
                sandbox.calls.clear()
            case _:
                raise Refused(404, "There is nothing to steer here.")
        return {"ok": True}


def _on_record(
    method: str, collection: Collection, record_id: str, headers: Mapping[bytes, bytes], body: Any
) -> Answer:
    match, none_match = (_header(headers, name) for name in (b"if-match", b"if-none-match"))
    if method == "DELETE":
        collection.delete(record_id, match)
        return 204, None, ""
    status, record = 200, None
    if method == "PUT":
        status, record = collection.put(record_id, body, match=match, none_match=none_match)
    else:
        record = collection.get(record_id)
    return status, record, f'"{record["version"]}"'


def _header(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    found = headers.get(name)
    return None if found is None else found.decode("latin-1")


def _limit(query: Mapping[str, str]) -> int:
    given = query.get("limit", str(_DEFAULT_LIMIT))
    if not given.isdecimal() or not 0 < int(given) <= _MAX_LIMIT:
        raise Refused(400, f"limit is a number from 1 to {_MAX_LIMIT}.")
    return int(given)


async def _body(receive: Receive) -> Any:
    content = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if len(content) > _MAX_BODY:
            raise Refused(413, "The body is too large.")
        if not message.get("more_body"):
            break
    try:
        return orjson.loads(content)
    except ValueError as error:
        raise Refused(400, "The body is no JSON.") from error
