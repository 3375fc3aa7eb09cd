"""How fast a vendor may be called, and how it says so: from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RateHeaders:
    """Headers of an answer that say what is left, their names in lower case; empty where it has none."""

    limit: str = ""
    remaining: str = ""
    reset: str = ""
    reset_is: str = "seconds"
    """`seconds` from now, `epoch` seconds or a `date`."""
    window_seconds: float | None = None
    """What `limit` is per; without it that header says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disguise:
    """A status other than 429 by which a vendor says the same, if its body says so."""

    status: int
    pointer: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How fast one account may be called."""

    requests_per_second: float
    concurrency: int
    headers: RateHeaders = RateHeaders()
    disguises: tuple[Disguise, ...] = ()


def read_rate_limit(data: Mapping[str, Any]) -> RateLimit:
    """Return the manifest's section, which the schema has found valid."""
    given = data.get("headers", {})
    names = {name: given[name].lower() for name in ("limit", "remaining", "reset") if name in given}
    plain = {name: given[name] for name in ("reset_is", "window_seconds") if name in given}
    return RateLimit(
        requests_per_second=data["requests_per_second"],
        concurrency=data["concurrency"],
        headers=RateHeaders(**names, **plain),
        disguises=tuple(
            Disguise(status=entry["status"], pointer=entry["pointer"], values=frozenset(entry["values"]))
            for entry in data.get("disguised", ())
        ),
    )
