"""Claims and decisions as envelopes of JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from services.conflicts.conflict import Choice, Claim, Decision
from wedsync.model.codec import dump_source, dump_value, dump_values, load_source, load_value, load_values
from wedsync.runtime.envelope import seal, unseal


def pack_claim(claim: Claim) -> bytes:
    """Return one side of a conflict as bytes."""
    record = {
        "v": dump_value(claim.value),
        "by": dump_source(claim.source),
        "rev": claim.revision,
        "values": dump_values(claim.values),
    }
    return seal(orjson.dumps(record))


def unpack_claim(blob: bytes) -> Claim:
    """Return what `pack_claim` was given."""
    record = orjson.loads(unseal(blob).payload)
    return Claim(
        value=load_value(record["v"]),
        source=load_source(record["by"]),
        revision=record.get("rev", 0),
        values=load_values(record.get("values", {})),
    )


def pack_decision(decision: Decision) -> bytes:
    """Return a decision as bytes, without what columns of its own hold."""
    record = {
        "choice": decision.choice.value,
        "v": dump_value(decision.value),
        "by": dump_source(decision.source) if decision.source else None,
        "policy": decision.policy,
        "version": decision.policy_version,
        "reason": decision.reason,
    }
    return seal(orjson.dumps(record))


def unpack_decision(blob: bytes, request_id: Any, decided_at: datetime) -> Decision:
    """Return what `pack_decision` was given."""
    record = orjson.loads(unseal(blob).payload)
    return Decision(
        choice=Choice(record["choice"]),
        value=load_value(record["v"]),
        source=load_source(record["by"]) if record["by"] else None,
        policy=record["policy"],
        policy_version=record["version"],
        reason=record["reason"],
        request_id=str(request_id) if request_id else None,
        decided_at=decided_at,
    )
