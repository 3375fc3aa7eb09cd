"""What happened to a webhook or a change, in a few sentences a person can act on. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.gateway.journey import ChangeStep, DeliveryStep, Steps, WebhookStep
from wedsync.model.changes import ChangeResult, FieldResult, Outcome

_FIELDS = {
    Outcome.APPLIED: "was taken over",
    Outcome.MERGED: "was merged with what others had changed",
    Outcome.UNCHANGED: "had this value already",
    Outcome.CONFLICTED: "is in conflict: the current value stays until a person decides",
    Outcome.SUPERSEDED: "was older than the current value, which stays",
    Outcome.REJECTED: "was refused",
    Outcome.DUPLICATE: "was done before",
}
_DELIVERIES = {
    "delivered": "{vendor} was brought to it{took}.",
    "nothing_to_do": "{vendor} needed no write{because}.",
    "held": "{vendor} was not written to{because}.",
    "parked": "{vendor} could not be written to; it is parked until someone acts{because}.",
    "due": "{vendor} is still to be written to{because}.",
}


def summary(steps: Steps) -> str:
    """Return what happened, in order: the webhook, each change of it, each vendor, and the total."""
    parts = [*_webhook(steps), *_changes(steps), *map(_delivery, steps.deliveries), *_total(steps)]
    return " ".join(parts)


def _webhook(steps: Steps) -> Iterator[str]:
    webhook = steps.webhook
    if webhook is None:
        return
    event = f" of {webhook.event}" if webhook.event else ""
    yield f"{webhook.vendor} sent a webhook{event}."
    if webhook.repeats:
        again = "once more" if webhook.repeats == 1 else f"{webhook.repeats} times more"
        yield f"It delivered the same one {again}; a repetition does nothing."
    yield from _reading(webhook, changed=bool(steps.changes))


def _reading(webhook: WebhookStep, *, changed: bool) -> Iterator[str]:
    because = _because(webhook.reason)
    match webhook.state:
        case "parked":
            yield f"It could not be read; it is parked until someone acts{because}."
        case "received":
            yield f"It is still to be read{because}."
        case _ if not changed:
            yield f"It changed nothing{because}."


def _changes(steps: Steps) -> Iterator[str]:
    for change in steps.changes:
        yield from _change(change, told=steps.webhook is not None)
    if not steps.changes and steps.deliveries:
        yield f"An edit through the API was committed as sequence {steps.deliveries[0].sequence}."


def _change(change: ChangeStep, *, told: bool) -> Iterator[str]:
    if not told:
        yield f"A look at {change.vendor} found an edit."
    if change.state == "pending":
        yield f"The edit is on its way into the wedding{_because(change.reason)}."
    elif change.state == "rejected":
        yield f"The edit was refused{_because(change.reason)}."
    elif change.sequence is None:
        yield f"The edit brought nothing new{_because(change.reason)}."
    else:
        yield f"The edit was committed as sequence {change.sequence}."
    if change.result is not None:
        yield from _results(change.result)


def _results(result: ChangeResult) -> Iterator[str]:
    for field in result.fields:
        yield f"Its {field.path} {_FIELDS[field.outcome]}{_because(_reason(field))}."


def _reason(field: FieldResult) -> str:
    return field.reason if field.outcome is not Outcome.APPLIED else ""


def _delivery(delivery: DeliveryStep) -> str:
    took = ""
    if delivery.confirmed_at is not None:
        took = f" in {_milliseconds(delivery.accepted_at, delivery.confirmed_at)} ms"
    if delivery.attempts > 1:
        took += f" after {delivery.attempts} tries"
    words = _DELIVERIES.get(delivery.state, "{vendor}: " + delivery.state + "{because}.")
    said = words.format(vendor=delivery.vendor, took=took, because=_because(delivery.reason))
    # What this vendor cannot hold of a write that was made is said after it.
    return f"{said[:-1]}{_because(delivery.reason)}." if delivery.state == "delivered" else said


def _total(steps: Steps) -> Iterator[str]:
    done = [d.confirmed_at for d in steps.deliveries if d.confirmed_at is not None]
    waits = any(d.state == "due" for d in steps.deliveries)
    if not done or waits:
        return
    starts = [step.detected_at for step in (steps.webhook, *steps.changes) if step is not None]
    begun = min(starts) if starts else min(d.created_at for d in steps.deliveries)
    yield f"All was done {_milliseconds(begun, max(done))} ms after it was told."


def _because(reason: str) -> str:
    return f": {reason.rstrip('.')}" if reason else ""


def _milliseconds(start: datetime, end: datetime) -> int:
    return round((end - start).total_seconds() * 1000)
