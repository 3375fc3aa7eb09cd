"""`wedsync wedding log`, `pause`, `resume` and `rewind`: what was done to a wedding, and undoing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wedsync.cli import logged
from wedsync.cli.arguments import WeddingId, as_time, identifier, time
from wedsync.cli.output import (
    AsJson,
    Columns,
    Limit,
    as_data,
    moment,
    print_json,
    print_messages,
    print_table,
    take,
)
from wedsync.cli.session import connected, run
from wedsync.cli.weddings import columns
from wedsync.model.changes import Outcome
from wedsync.model.items import ItemKind

if TYPE_CHECKING:
    from wedsync.api.sync.v1.change_pb2 import Change, ChangeResult, LoggedChange
    from wedsync.api.sync.v1.service_pb2 import ChangeFilter, NotRewound, RewindWeddingResponse, SourceFilter
    from wedsync.api.sync.v1.wedding_pb2 import Wedding

_REWIND_SECONDS = 60.0

Vendor = Annotated[str, typer.Option(help="Only what came through this vendor.")]
LinkId = Annotated[
    str | None, typer.Option("--link", help="Only what came through this link.", callback=identifier)
]
Actor = Annotated[str, typer.Option(help="Only what this actor did.")]


def log(
    wedding_id: WeddingId,
    field: Annotated[str, typer.Option(help="Only changes of this field; deleted_at for deletes.")] = "",
    kind: Annotated[ItemKind | None, typer.Option(help="Only changes of such items.")] = None,
    item: Annotated[str | None, typer.Option(help="Only changes of this item.", callback=identifier)] = None,
    change: Annotated[str | None, typer.Option(help="Only this change.", callback=identifier)] = None,
    vendor: Vendor = "",
    link: LinkId = None,
    actor: Actor = "",
    outcome: Annotated[
        list[Outcome] | None, typer.Option(help="Only what ended so; may be given twice.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="From then on.", callback=time)] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before then.", callback=time)] = None,
    after: Annotated[int, typer.Option(min=0, help="Begin after this sequence.")] = 0,
    as_json: AsJson = False,
    limit: Limit = 50,
) -> None:
    """List what was changed, by whom and why, oldest first."""
    asked = {
        "path": field,
        "item_kind": kind,
        "change_id": change,
        "vendor": vendor,
        "link_id": link,
        "actor": actor,
        "outcomes": outcome,
        "start_time": since,
        "end_time": until,
    }
    run(_log(wedding_id, asked, item=item or "", after=after, as_json=as_json, limit=limit))


def pause(
    wedding_id: WeddingId,
    reason: Annotated[str, typer.Option(help="Why; whoever is refused is told.")],
    as_json: AsJson = False,
) -> None:
    """Have a wedding take no changes until it is resumed."""
    run(_pause(wedding_id, reason, as_json=as_json))


def resume(wedding_id: WeddingId, as_json: AsJson = False) -> None:
    """Have a paused wedding take changes again."""
    run(_resume(wedding_id, as_json=as_json))


def rewind(
    wedding_id: WeddingId,
    to: Annotated[int | None, typer.Option(min=0, help="Back to how it was after this sequence.")] = None,
    vendor: Vendor = "",
    link: LinkId = None,
    actor: Actor = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a wedding back to a sequence, or undo what one source did since then.

    Whose changes to undo may be said instead of --to; then it is everything they did.
    """
    whose = {"vendor": vendor, "link_id": link or "", "actor": actor}
    if to is None and not any(whose.values()):
        raise typer.BadParameter("say --to SEQUENCE, or whose changes are to be undone")
    run(_rewind(wedding_id, to or 0, whose, dry_run=dry_run, as_json=as_json))


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file to `wedsync wedding`."""
    for command in (log, pause, resume, rewind):
        app.command(command.__name__)(command)


async def _log(
    wedding_id: str, asked: dict[str, Any], *, item: str, after: int, as_json: bool, limit: int
) -> None:
    async with connected() as clients:
        changes = (await clients.sync()).list_changes(
            wedding_id, after_sequence=after, item_id=item, only=_filter(asked)
        )
        found = await take(changes, limit)
    shown: Columns[LoggedChange] = Columns(
        sequence=lambda change: change.sequence,
        time=lambda change: moment(change, "commit_time"),
        who=lambda change: logged.who(change.source),
        why=lambda change: logged.why(change.source),
        did=logged.act,
        fields=logged.fields,
    )
    print_messages(found, shown, as_json=as_json, empty="Nothing in the log fits.")


def _filter(asked: dict[str, Any]) -> ChangeFilter:
    from wedsync.api.sync.v1.service_pb2 import ChangeFilter  # noqa: PLC0415 - gRPC only where a call is made
    from wedsync.convert import kind_to_message  # noqa: PLC0415 - see above
    from wedsync.convert.changes import outcome_to_message, timestamp  # noqa: PLC0415 - see above

    numbers = {
        "item_kind": kind_to_message(asked["item_kind"]) if asked["item_kind"] else None,
        "outcomes": [outcome_to_message(outcome) for outcome in asked["outcomes"] or ()],
    }
    times = {
        name: timestamp(as_time(asked[name])) if asked[name] else None for name in ("start_time", "end_time")
    }
    return ChangeFilter(**{**asked, **numbers, **times})


async def _pause(wedding_id: str, reason: str, *, as_json: bool) -> None:
    async with connected() as clients:
        wedding = await (await clients.sync()).pause_wedding(wedding_id, reason)
    _print_wedding(wedding, as_json=as_json)


async def _resume(wedding_id: str, *, as_json: bool) -> None:
    async with connected() as clients:
        wedding = await (await clients.sync()).resume_wedding(wedding_id)
    _print_wedding(wedding, as_json=as_json)


def _print_wedding(wedding: Wedding, *, as_json: bool) -> None:
    if as_json:
        print_json(as_data(wedding))
    else:
        print_table(columns(), [wedding], empty="")


async def _rewind(wedding_id: str, to: int, whose: dict[str, str], *, dry_run: bool, as_json: bool) -> None:
    async with connected() as clients:
        done = await (await clients.sync()).rewind_wedding(
            wedding_id, to, source=_source(whose), dry_run=dry_run, timeout=_REWIND_SECONDS
        )
    if as_json:
        print_json(as_data(done))
        return
    _print_rewind(done)


def _source(whose: dict[str, str]) -> SourceFilter | None:
    from wedsync.api.sync.v1.service_pb2 import SourceFilter  # noqa: PLC0415 - see above

    return SourceFilter(**whose) if any(whose.values()) else None


def _print_rewind(done: RewindWeddingResponse) -> None:
    results: dict[str, ChangeResult] = {result.change_id: result for result in done.results}
    shown: Columns[Change] = Columns(
        does=logged.act,
        fields=lambda change: ", ".join(change.update_mask.paths),
        became=lambda change: logged.became(results[change.change_id]) if results else "",
    )
    print_table(shown, done.changes, empty="There is nothing to rewind.")
    if done.not_rewound:
        print()
        stays: Columns[NotRewound] = Columns(
            stays=lambda kept: kept.item_id, field=lambda kept: kept.path, why=lambda kept: kept.reason
        )
        print_table(stays, done.not_rewound, empty="")
