"""What a conflict is about and what became of it, in sentences people understand. Pure."""

from __future__ import annotations

from services.conflicts.conflict import Claim, Collision, Conflict, Decision, State
from wedsync.model.changes import Source
from wedsync.model.items import LIFE, FieldValue

_MAX_VALUE = 300
"""Characters of a value that a sentence shows."""


def question(collision: Collision) -> str:
    """Return what people are asked."""
    kind, current, proposed = _kind(collision), collision.current, collision.proposed
    if collision.path == LIFE:
        return (
            f"Shall this {kind} stay?\n"
            f"{_who(current.source)}: {_life(current)}\n"
            f"{_who(proposed.source)}: {_life(proposed)}"
        )
    return (
        f"Which {_field(collision.path)} is right for this {kind}?\n"
        f"{_who(current.source)} (stays for now): {said(current.value)}\n"
        f"{_who(proposed.source)}: {said(proposed.value)}"
    )


def outcome(conflict: Conflict) -> str:
    """Return how the conflict ended, as the message about it says."""
    collision, final = conflict.collision, conflict.final
    about = f"The question about the {_field(collision.path)} of this {_kind(collision)}"
    if conflict.state is State.SUPERSEDED or final is None:
        return f"{about} is out of date: there is a newer one."
    value = _life(final) if collision.path == LIFE else said(final.value)
    return f"{about} is settled: {value}{_decided_by(conflict.decision, final)}."


def summary(conflict: Conflict) -> str:
    """Return what it is about or what became of it, in a sentence."""
    if conflict.state in {State.RESOLVED, State.SUPERSEDED}:
        return outcome(conflict)
    collision, decision = conflict.collision, conflict.decision
    sides = f"{_side(collision, collision.current)} or {_side(collision, collision.proposed)}"
    about = f"{_field(collision.path).capitalize()} of a {_kind(collision)}: {sides}"
    if decision is None:
        return f"{about}? The first stays until somebody decides."
    if conflict.trouble:
        return f"{about}. It was decided, but that could not be carried out: {conflict.trouble}"
    return f"{about}. Decided{_decided_by(decision, None)}; on its way to every vendor."


def said(value: FieldValue) -> str:
    """Return a value as text."""
    if value is None or value in ((), ""):
        return "(nothing)"
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 1]}…"


def _side(collision: Collision, claim: Claim) -> str:
    value = _life(claim) if collision.path == LIFE else said(claim.value)
    return f"{value} ({_who(claim.source)})"


def _decided_by(decision: Decision | None, final: Claim | None) -> str:
    if decision is not None and decision.policy:
        return f", by the rule {decision.policy}"
    source = decision.source if decision is not None else final.source if final is not None else None
    return f", by {_who(source)}" if source is not None else ""


def _life(claim: Claim) -> str:
    edits = ", ".join(f"{_field(path)} {said(value)}" for path, value in claim.values.items())
    if claim.value:
        return "deleted"
    return f"kept, with {edits}" if edits else "kept"


def _who(source: Source) -> str:
    if source.vendor and source.link_id is None:
        return f"{source.actor} in {source.vendor}"
    return source.vendor or source.actor


def _field(path: str) -> str:
    return "life" if path == LIFE else path.replace("_", " ")


def _kind(collision: Collision) -> str:
    return collision.item_kind.value.replace("_", " ")
