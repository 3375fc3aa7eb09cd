"""What happened to a webhook or a change, in a few sentences a person can act on. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from services.gateway.journey import ASKED, ChangeStep, DeliveryStep, Steps, WebhookStep
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
    "delivered": "{vendor} was brought to it{took}{because}.",
    "nothing_to_do": "{vendor} needed no write{because}.",
    "held": "{vendor} was not written to{because}.",
    "parked": "{vendor} could not be written to{tries}; it is parked until someone acts{because}.",
    "due": "{vendor} is still to be written to{tries}{because}.",
}
_CORRECTIONS = {
    **_DELIVERIES,
    "delivered": "{vendor} was brought back to the wedding's values{took}{because}.",
    "due": "{vendor} is still to be brought back to the wedding's values{tries}{because}.",
}

# Two reasons say more than why nothing was done: how the worker puts a pause, and the decisions a click.
_PAUSED, _DECISION = "the link is paused", "a decision of "


def summary(steps: Steps) -> str:
    """Return what happened, in order: the webhook, each change of it, each vendor, and the total."""
    parts = [*_webhook(steps), *_changes(steps), *map(_delivery, steps.deliveries), *_total(steps)]
    return " ".join(parts)


def _webhook(steps: Steps) -> Iterator[str]:
    webhook = steps.webhook
    if webhook is None:
        return
    yield _opening(webhook)
    if webhook.repeats:
        came = "found" if webhook.polled else "delivered"
        again = "once more" if webhook.repeats == 1 else f"{webhook.repeats} times more"
        yield f"It was {came} {again}; a repetition does nothing."
    yield from _reading(webhook, changed=bool(steps.changes or steps.parts))
    yield from map(_part, steps.parts)


def _opening(webhook: WebhookStep) -> str:
    if webhook.polled:
        return f"A look at {webhook.vendor} found a record."
    if webhook.record_id is not None:
        return f"The record {webhook.record_id} of {webhook.vendor} is worked on by itself."
    if webhook.origin == "replay":
        return f"A webhook of {webhook.vendor} was replayed."
    event = f" of {webhook.event}" if webhook.event else ""
    return f"{webhook.vendor} sent a webhook{event}."


def _reading(webhook: WebhookStep, *, changed: bool) -> Iterator[str]:
    because, tries = _because(webhook.reason), _tries(webhook.attempts)
    match webhook.state:
        case "parked":
            yield f"It could not be read{tries}; it is parked until someone acts{because}."
        case "replayed":
            yield f"It could not be read{tries}{because}."
        case "received":
            yield f"It is still to be read{tries}{because}."
        case _ if webhook.reason.startswith(_DECISION):
            yield f"It brought {_plain(webhook.reason)}."
        case _ if webhook.reason == ASKED:
            yield f"It says only that something moved: {ASKED}."
        case _ if not changed:
            yield f"It changed nothing{because}."


def _part(part: WebhookStep) -> str:
    if part.origin == "replay":
        return f"It was replayed as {part.id}."
    because, tries = _because(part.reason), _tries(part.attempts)
    record = f"Its record {part.record_id}"
    match part.state:
        case "parked":
            return f"{record} could not be read{tries}; it is parked until someone acts{because}."
        case "received":
            return f"{record} is still to be read{tries}{because}."
        case _:
            return f"{record} was read by itself{tries}{because}."


def _changes(steps: Steps) -> Iterator[str]:
    for change in steps.changes:
        yield from _change(change, told=steps.webhook is not None)
    commits = [delivery for delivery in steps.deliveries if not delivery.corrects]
    if not steps.changes and commits:
        # Which of the two is not for the caller to see.
        by = "through the API or another organization's vendor"
        yield f"An edit {by} was committed as sequence {commits[0].sequence}."


def _change(change: ChangeStep, *, told: bool) -> Iterator[str]:
    if not told:
        yield f"A look at {change.vendor} found an edit."
    because, tries = _because(change.reason), _tries(change.attempts)
    if change.state == "pending":
        yield f"The edit is on its way into the wedding{tries}{because}."
    elif change.state == "rejected":
        yield f"The edit was refused{because}."
    elif change.sequence is None:
        yield f"The edit brought nothing new{because}."
    else:
        yield f"The edit was committed as sequence {change.sequence}{tries}."
    if change.result is not None:
        yield from _results(change.result)


def _results(result: ChangeResult) -> Iterator[str]:
    for field in result.fields:
        yield f"Its {field.path} {_FIELDS[field.outcome]}{_because(_reason(field))}."


def _reason(field: FieldResult) -> str:
    return field.reason if field.outcome is not Outcome.APPLIED else ""


def _delivery(delivery: DeliveryStep) -> str:
    table = _CORRECTIONS if delivery.corrects else _DELIVERIES
    words = table.get(delivery.state, "{vendor}: " + delivery.state + "{because}.")
    tries = _tries(delivery.attempts)
    said = words.format(
        vendor=delivery.vendor, took=_took(delivery) + tries, tries=tries, because=_because(delivery.reason)
    )
    paused = delivery.state == "due" and delivery.reason.startswith(_PAUSED)
    return f"{said} It goes on when the link is resumed." if paused else said


def _took(delivery: DeliveryStep) -> str:
    if delivery.confirmed_at is None:
        return ""
    return f" in {_milliseconds(delivery.accepted_at, delivery.confirmed_at)} ms"


def _total(steps: Steps) -> Iterator[str]:
    done = [d.confirmed_at for d in steps.deliveries if d.confirmed_at is not None]
    states = {d.state for d in steps.deliveries}
    if not done or "due" in states:
        return
    starts = [step.detected_at for step in (steps.webhook, *steps.changes) if step is not None]
    begun = min(starts) if starts else min(d.created_at for d in steps.deliveries)
    what = "The last write was confirmed" if states & {"parked", "held"} else "All was done"
    yield f"{what} {_milliseconds(begun, max(done))} ms after it was told."


def _tries(attempts: int) -> str:
    return f" after {attempts} tries" if attempts > 1 else ""


def _because(reason: str) -> str:
    return f": {_plain(reason)}" if reason else ""


def _plain(reason: str) -> str:
    """Return a reason as the end of a sentence: a pause without a reason of its own ends in a colon."""
    return reason.rstrip(".: ")


def _milliseconds(start: datetime, end: datetime) -> int:
    """Return how long it took; two machines' clocks may say less than nothing."""
    return max(0, round((end - start).total_seconds() * 1000))
