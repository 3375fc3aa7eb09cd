"""What must hold for answers: they agree with the log, and what is in no log was true when it was said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wedsync.model.changes import Change, ChangeResult, FieldResult, ItemState, Outcome
from wedsync.model.items import LIFE
from wedsync.testing.history_records import Call
from wedsync.testing.history_rules import Verdict, met, only_repeats
from wedsync.testing.history_timeline import Timeline, is_same, same_content

_REUSED = "CHANGE_ID_REUSED"


def wrong_answers(timeline: Timeline) -> Iterator[str]:
    """Yield what is wrong with what callers were told."""
    for call in timeline.calls:
        if call.results is None:
            continue
        if [result.change_id for result in call.results] != [change.change_id for change in call.changes]:
            yield f"a call of {call.client} was answered with the results of other changes"
            continue
        for change, result in zip(call.changes, call.results, strict=True):
            yield from _wrong_answer(timeline, call, change, result)
    for change_id, told in _told_of(timeline.calls).items():
        yield from (f"{change_id} {words}" for words in _wrong_repeats(told))
    yield from _wrong_refusals(timeline)


@dataclass(frozen=True, slots=True)
class Told:
    """What one call was told about one change."""

    call: Call
    change: Change
    result: ChangeResult


def _told_of(calls: Sequence[Call]) -> dict[str, list[Told]]:
    found: dict[str, list[Told]] = {}
    for call in calls:
        for change, result in zip(call.changes, call.results or (), strict=False):
            found.setdefault(change.change_id, []).append(Told(call, change, result))
    return found


def _wrong_answer(timeline: Timeline, call: Call, change: Change, result: ChangeResult) -> Iterator[str]:
    name = f"{call.client} was told of {change.change_id}: {result.outcome} at {result.sequence}"
    if result.reason == _REUSED:
        if all(same_content(change, other) for other in timeline.sent[change.change_id]):
            yield f"{name}, its id used for another change, and there is none"
    elif result.sequence:
        yield from _unlike_the_log(timeline, change, result, name)
    elif result.outcome is Outcome.DUPLICATE:
        if change.change_id in timeline.by_id:
            yield f"{name}, and it is in the log"
    else:
        yield from _untrue(timeline, call, change, result, name)


def _unlike_the_log(timeline: Timeline, change: Change, result: ChangeResult, name: str) -> Iterator[str]:
    entry = timeline.by_id.get(change.change_id)
    if entry is None:
        yield f"{name}, and it is lost: the log has no such change"
    elif result.outcome is Outcome.REJECTED or not is_same(entry, change):
        yield f"{name}, and the log has it with other content"
    elif _content(result) != _content(entry.result):
        yield f"{name}: {_content(result)}; the log has {_content(entry.result)}"


def _content(result: ChangeResult) -> tuple[object, ...]:
    return result.sequence, result.committed_at, result.fields


def _untrue(timeline: Timeline, call: Call, change: Change, result: ChangeResult, name: str) -> Iterator[str]:
    """Yield if at no moment between question and answer this could have been said without logging it."""
    refused = result.outcome is Outcome.REJECTED
    if change.change_id in timeline.by_id and not refused:
        yield f"{name}, and it is in the log"
    low, high = timeline.known_by(call.invoked), timeline.possible_by(call.returned)
    could_say = (
        _could_say(
            timeline.verdict_at(place, change), timeline.item_at(change.item_id, place), change, result
        )
        for place in timeline.moments(change.item_id, low, high)
    )
    if not any(could_say):
        yield f"{name} ({result.reason or 'no reason'}), which was true at no moment from {low} to {high}"


def _could_say(rules: Verdict, item: ItemState | None, change: Change, result: ChangeResult) -> bool:
    if rules.refusal or result.outcome is Outcome.REJECTED:
        reason, *_ = result.reason.partition(":")
        return rules.refusal == reason and result.outcome is Outcome.REJECTED
    item = met(item, change)
    if item is None or {field.path for field in result.fields} != rules.fields.keys():
        return False
    return all(
        field.outcome in rules.fields[field.path] and _stays(item, field, change) for field in result.fields
    )


def _stays(item: ItemState, field: FieldResult, change: Change) -> bool:
    """Say whether the field, as it stands, needs no entry in the log to have come out like this."""
    state = item.life if field.path == LIFE else item.fields.get(field.path)
    if field.revision != (state.revision if state else 0):
        return False
    if field.outcome is Outcome.CONFLICTED:
        dead = item.deleted and field.path != LIFE  # a value that only the delete kept out
        return dead or (state is not None and only_repeats(state, field, change))
    return field.outcome in {Outcome.UNCHANGED, Outcome.SUPERSEDED}


def _wrong_repeats(told: Sequence[Told]) -> Iterator[str]:
    """Yield where one id was taken for two changes, or one change was taken for new twice."""
    accepted = [answer for answer in told if answer.result.outcome is not Outcome.REJECTED]
    if not accepted:
        return
    if any(not same_content(accepted[0].change, answer.change) for answer in accepted):
        yield "was accepted with different contents"
    if sum(answer.result.outcome is not Outcome.DUPLICATE for answer in accepted) > 1:
        yield "was taken for new more than once"
    since = min(answer.call.returned for answer in accepted)
    for answer in told:
        known = answer.result.outcome is Outcome.DUPLICATE or answer.result.reason == _REUSED
        if answer.call.invoked > since and not known:
            yield f"had been accepted, and was {answer.result.outcome} when it was sent again"


def _wrong_refusals(timeline: Timeline) -> Iterator[str]:
    """Yield what is in the log although everybody who sent it was told that it did not happen."""
    possible: set[str] = set()
    for call in timeline.calls:
        if call.results is None and not call.refused:
            possible.update(change.change_id for change in call.changes)
        rejected = Outcome.REJECTED
        possible.update(result.change_id for result in call.results or () if result.outcome is not rejected)
    for change_id in timeline.by_id:
        if change_id in timeline.sent and change_id not in possible:
            yield f"{change_id} is in the log, and whoever sent it was told that it was refused"
