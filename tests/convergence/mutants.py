"""The engine with one thing wrong in it, in many ways: what finds nothing wrong here finds nothing anywhere.

Each mutant replaces one function or method while a world runs; nothing of the engine's source is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from services.gateway import inspect_record, observe, poll
from services.gateway.deliver import confirm, plan, worker
from services.gateway.records import Shadow, Shown
from services.gateway.shown import Word
from services.gateway.store.activities import Answer
from services.gateway.store.leases import Held
from services.gateway.vendors.field_rules import FieldRule
from services.gateway.vendors.port import VendorRecord
from tests.convergence.tables import TimedActivities, TimedLeases
from tests.support import gateway_fakes
from wedsync.model.changes import ChangeResult, ItemState


@dataclass(frozen=True, slots=True)
class Mutant:
    """One thing wrong."""

    name: str
    where: Any
    what: str
    instead: Any
    shows_in: tuple[tuple[str, int], ...] = ()
    """Vendor and seed of a storm in which it shows, where few do: a place to begin, no more."""

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Have the engine be like this."""
        with patch.object(self.where, self.what, self.instead):
            yield


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _no(*_: Any, **__: Any) -> bool:
    return False


async def _async_nothing(*_: Any, **__: Any) -> None:
    return None


def _taken_means(**but: Any) -> Callable[..., Any]:
    take = TimedLeases.take

    async def instead(self: TimedLeases, *args: Any) -> Held | None:
        held = await take(self, *args)
        return replace(held, **but) if held else None

    return instead


def _uncorrected() -> Callable[..., Any]:
    resolve = TimedActivities.resolve

    async def instead(self: TimedActivities, *answers: Answer) -> None:
        await resolve(self, *(replace(answer, corrected=False) for answer in answers))

    return instead


def _base_of_everything(fields: Mapping[str, Shown], result: ChangeResult) -> dict[str, Shown]:
    newest = {each.path: each.revision for each in result.fields}
    return {path: replace(s, revision=max(s.revision, newest.get(path, 0))) for path, s in fields.items()}


def _confirmed_unseen(item: ItemState, shadow: Shadow, rules: Any) -> Shadow:
    known = {path: state.revision for path, state in item.fields.items()}
    fields = {path: replace(s, revision=known.get(path, s.revision)) for path, s in shadow.fields.items()}
    return replace(shadow, fields=fields)


def _as_sent(ours: Shown, value: Any, rule: FieldRule | None) -> Shown:
    return ours


def _rewriting_forgotten(ours: Shown, value: Any, rule: FieldRule | None) -> Shown:
    return Shown(value=value if isinstance(value, str | int | tuple) else None, revision=ours.revision)


def _exactly(self: FieldRule, a: Any, b: Any) -> bool:
    return bool(a == b)


def _blind_write() -> Callable[..., Any]:
    async def instead(self: Any, held: Any, link: Any, record: Any, cause: Any) -> Any:
        return observe.Observation(shadow=held.shadow)

    return instead


def _whatever_is_shown(_: Shadow, record: VendorRecord | None, *__: Any) -> Word:
    return Word.NEWS if record else Word.UNSURE


MUTANTS = (
    Mutant("an echo is not recognised", observe._Comparison, "_echo", _nothing),
    Mutant("an intent is forgotten", TimedLeases, "take", _taken_means(intents=())),
    Mutant("a change on its way is not waited for", TimedLeases, "take", _taken_means(pending=False)),
    Mutant("a base advances for what was not taken", gateway_fakes, "settled", _base_of_everything),
    Mutant("a base advances for what was not shown", worker, "confirmed", _confirmed_unseen),
    Mutant("what is held back is delivered", plan, "is_held", _no),
    Mutant("a loser is not corrected", TimedActivities, "resolve", _uncorrected()),
    Mutant("what the vendor answers is not looked at", confirm, "_confirmed", _as_sent, (("slack", 11),)),
    Mutant("a rewriting is not remembered", confirm, "_confirmed", _rewriting_forgotten),
    Mutant("equivalences are ignored", FieldRule, "equivalent", _exactly),
    Mutant(
        "a write that landed late is left",
        inspect_record.Inspector,
        "_landed_late",
        _no,
        (("outlook_calendar", 67), ("google_calendar", 82), ("slack", 82)),
    ),
    Mutant(
        "a create that landed late is a birth",
        inspect_record.Inspector,
        "_require_single",
        _async_nothing,
        (("tave", 10),),
    ),
    Mutant("a vendor's edit is written over", inspect_record.Inspector, "settle", _blind_write()),
    Mutant("a late webhook is believed", inspect_record, "weigh", _whatever_is_shown),
    Mutant("what a vendor does not show is gone", poll.Poller, "_differs", _no),
    Mutant("what a record lacks is not said", worker, "shortfall", lambda *_: ""),
)
