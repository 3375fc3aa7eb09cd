"""What is sent when: the planned times of a load, and each webhook as its vendor would sign it. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from wedsync.testing.load import marks

WEBHOOK_BYTES = 1536
_FILLER = "padding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A record that people edit in one vendor's system, and how that vendor tells of it."""

    number: int
    wedding_id: str
    account: str
    collection: str
    record: Mapping[str, Any]
    """As it is before the load."""
    first_edit: int
    """The number of the first edit to come."""
    path: str
    """Where its vendor sends webhooks."""
    secret: str
    copies: Sequence[tuple[str, str]]
    """Account and collection of every other vendor of the wedding: each must get the edit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """One webhook to come."""

    after: float
    """Seconds after the start."""
    origin: int
    """Which of the origins, by its place."""
    edit: int
    version: int


def poisson(
    origins: Sequence[Origin],
    *,
    rate: float,
    seconds: float,
    seed: int = 1,
    weights: Sequence[float] | None = None,
) -> list[Send]:
    """Return edits at random moments of this rate, of records chosen at random (or by weight)."""
    dice = random.Random(seed)  # noqa: S311  # the same load every time
    at, times = 0.0, []
    while (at := at + dice.expovariate(rate)) < seconds:
        times.append(at)
    chosen = dice.choices(range(len(origins)), weights, k=len(times))
    return numbered(origins, list(zip(times, chosen, strict=True)))


def numbered(origins: Sequence[Origin], moments: Sequence[tuple[float, int]]) -> list[Send]:
    """Give each edit its number and the record's version, in the order of time."""
    edits = [origin.first_edit for origin in origins]
    sends = []
    for after, chosen in sorted(moments):
        origin, edit = origins[chosen], edits[chosen]
        version = int(origin.record["version"]) + 1 + edit - origin.first_edit
        sends.append(Send(after=after, origin=chosen, edit=edit, version=version))
        edits[chosen] += 1
    return sends


def requests(
    origins: Sequence[Origin], sends: Sequence[Send], *, host: str, started: int, run: str
) -> Iterator[bytes]:
    """Yield each webhook as the bytes of its request, signed for the second in which it is due."""
    for number, send in enumerate(sends):
        origin = origins[send.origin]
        body = _body(origin, send)
        yield request(origin, body, host=host, at=started + int(send.after), delivery=f"msg_{run}_{number}")


def request(origin: Origin, body: bytes, *, host: str, at: int, delivery: str) -> bytes:
    """Return one signed request, by Standard Webhooks."""
    proof = signature(key_bytes(origin.secret), delivery, str(at), body)
    return (
        f"POST {origin.path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"webhook-id: {delivery}\r\nwebhook-timestamp: {at}\r\nwebhook-signature: {proof}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def signature(key: bytes, delivery: str, at: str, body: bytes) -> str:
    """Return what proves a body, by Standard Webhooks."""
    signed = b".".join((delivery.encode(), at.encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def key_bytes(secret: str) -> bytes:
    """Return what a secret `whsec_…` stands for."""
    return base64.b64decode(secret.removeprefix("whsec_"))


def _body(origin: Origin, send: Send) -> bytes:
    fields = {**origin.record["fields"], "title": marks.title(origin.number, send.edit)}
    record = {**origin.record, "version": send.version, "fields": fields}
    event = {"type": "record.updated", "collection": origin.collection, "record": record}
    bare = len(orjson.dumps(event))
    # What a system of a partner's own tells besides and nobody reads.
    return orjson.dumps({**event, _FILLER: "x" * max(0, WEBHOOK_BYTES - bare - len(_FILLER) - 6)})
