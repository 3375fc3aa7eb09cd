"""Conflicts that need no person: which source is believed about which field, as data. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.conflicts.conflict import Choice, Collision, Decision
from wedsync.model.items import CATALOGUE, LIFE, ItemKind


class PolicyError(Exception):
    """The policies make no sense; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """About these fields of this kind of item, one kind of system is believed over the others."""

    name: str
    version: int
    kind: ItemKind
    fields: frozenset[str]
    prefers: str
    reason: str


def read_policies(data: Mapping[str, Any]) -> tuple[Policy, ...]:
    """Return the policies of a document its schema has found valid. Raises `PolicyError`."""
    if problems := list(_problems(data["policies"])):
        raise PolicyError("; ".join(problems))
    return tuple(
        Policy(**{**entry, "kind": ItemKind(entry["kind"]), "fields": frozenset(entry["fields"])})
        for entry in data["policies"]
    )


def decide(policies: Sequence[Policy], collision: Collision) -> Decision | None:
    """Return the decision of the first policy that applies, None if a person must decide.

    A policy applies where just one of the two sides is of the kind it prefers.
    """
    for policy in policies:
        choice = _choice(policy, collision)
        if choice is not None:
            claim = collision.current if choice is Choice.CURRENT else collision.proposed
            return Decision(
                choice=choice,
                value=claim.value,
                policy=policy.name,
                policy_version=policy.version,
                reason=policy.reason,
            )
    return None


def _choice(policy: Policy, collision: Collision) -> Choice | None:
    if collision.item_kind is not policy.kind or collision.path not in policy.fields:
        return None
    current = collision.current.source.category == policy.prefers
    proposed = collision.proposed.source.category == policy.prefers
    if current == proposed:
        return None
    return Choice.CURRENT if current else Choice.PROPOSED


def _problems(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for entry in entries:
        name = entry["name"]
        if entry["kind"] not in set(ItemKind):
            yield f"{name}: {entry['kind']!r} is no kind of item; choose from {', '.join(ItemKind)}"
            continue
        known = {LIFE, *CATALOGUE[ItemKind(entry["kind"])]}
        if unknown := sorted(set(entry["fields"]) - known):
            yield f"{name}: no field of a {entry['kind']}: {', '.join(unknown)}"
    names = [entry["name"] for entry in entries]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        yield f"named twice: {', '.join(repeated)}"
