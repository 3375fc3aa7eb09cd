"""`wedsync conflicts`: disagreements that wait for a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wedsync.cli import logged
from wedsync.cli.arguments import identifier
from wedsync.cli.output import (
    AsJson,
    Columns,
    Limit,
    as_data,
    clean,
    console,
    moment,
    print_json,
    print_messages,
    print_table,
    take,
)
from wedsync.cli.session import connected, run
from wedsync.model.ids import new_id

if TYPE_CHECKING:
    from wedsync.api.common.v1.value_pb2 import FieldValue
    from wedsync.api.conflicts.v1.service_pb2 import Claim, Conflict, ResolveConflictRequest

app = typer.Typer(help="Disagreements between sources.", no_args_is_help=True)


@app.command("list")
def list_conflicts(
    wedding: Annotated[str | None, typer.Option(callback=identifier, help="Only this wedding's.")] = None,
    as_json: AsJson = False,
    limit: Limit = 50,
) -> None:
    """List conflicts, newest first."""
    run(_list(wedding or "", as_json=as_json, limit=limit))


ConflictId = Annotated[str, typer.Argument(metavar="ID", help="The conflict's id.", callback=identifier)]


@app.command("show")
def show(conflict_id: ConflictId, as_json: AsJson = False) -> None:
    """Show one conflict: both values, who wants each, since when, and what became of it."""
    run(_show(conflict_id, as_json=as_json))


@app.command("resolve")
def resolve(
    conflict_id: ConflictId,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the current value.")] = False,
    take_proposed: Annotated[bool, typer.Option("--take", help="Take the proposed value.")] = False,
    value: Annotated[
        str | None, typer.Option(help="Set a third value; tags are separated by commas, '' is nothing.")
    ] = None,
    note: Annotated[str, typer.Option(help="Why; it is kept with the decision.")] = "",
    as_json: AsJson = False,
) -> None:
    """Decide a conflict; every vendor is brought to the value that wins."""
    if [keep, take_proposed, value is not None].count(True) != 1:
        raise typer.BadParameter("say one of --keep, --take and --value")
    run(_resolve(conflict_id, keep=keep, value=value, note=note, as_json=as_json))


async def _show(conflict_id: str, *, as_json: bool) -> None:
    async with connected() as clients:
        found = await (await clients.conflicts()).get_conflict(conflict_id)
    _print(found, as_json=as_json)


async def _resolve(conflict_id: str, *, keep: bool, value: str | None, note: str, as_json: bool) -> None:
    async with connected() as clients:
        conflicts = await clients.conflicts()
        found = await conflicts.get_conflict(conflict_id)
        decided = await conflicts.resolve_conflict(_request(found, keep=keep, value=value, note=note))
    _print(decided, as_json=as_json)


def _request(found: Conflict, *, keep: bool, value: str | None, note: str) -> ResolveConflictRequest:
    # Here and not above: importing the contract would slow every other command down.
    from wedsync.api.conflicts.v1 import service_pb2 as pb  # noqa: PLC0415

    request = pb.ResolveConflictRequest(request_id=new_id(), conflict_id=found.conflict_id, note=note)
    if value is None:
        request.choice = pb.CHOICE_CURRENT if keep else pb.CHOICE_PROPOSED
    else:
        request.choice = pb.CHOICE_VALUE
        request.value.CopyFrom(_third(found, value))
    return request


def _third(found: Conflict, text: str) -> FieldValue:
    from wedsync.convert import kind_from_message, value_to_message  # noqa: PLC0415 - see above
    from wedsync.model.values import BadValue, from_text  # noqa: PLC0415 - see above

    kind = kind_from_message(found.item_kind)
    try:
        return value_to_message(kind, found.path, from_text(kind, found.path, text))
    except BadValue as bad:
        raise typer.BadParameter(f"{text!r} is no {found.path} of a {kind}: it {bad}") from None


def _print(found: Conflict, *, as_json: bool) -> None:
    if as_json:
        print_json(as_data(found))
        return
    console().print(clean(found.summary))
    columns: Columns[tuple[str, Claim]] = Columns(
        side=lambda side: side[0],
        value=lambda side: logged.value(side[1].value),
        by=lambda side: logged.who(side[1].source),
        since=lambda side: moment(side[1], "set_time"),
    )
    sides = [("current", found.current), ("proposed", found.proposed)]
    sides += [("final", found.final)] if found.HasField("final") else []
    print_table(columns, sides, empty="")
    if found.HasField("decision"):
        reason = f": {found.decision.reason}" if found.decision.reason else ""
        console().print(clean(f"decided {moment(found.decision, 'decide_time')}{reason}"))


async def _list(wedding_id: str, *, as_json: bool, limit: int) -> None:
    async with connected() as clients:
        found = await take((await clients.conflicts()).list_conflicts(wedding_id=wedding_id), limit)
    columns: Columns[Conflict] = Columns(
        conflict=lambda conflict: conflict.conflict_id,
        since=lambda conflict: moment(conflict, "create_time"),
        wedding=lambda conflict: conflict.wedding_id,
        item=lambda conflict: conflict.item_id,
        field=lambda conflict: conflict.path,
        stays=lambda conflict: _claim(conflict.current),
        proposed=lambda conflict: _claim(conflict.proposed),
        state=_state,
    )
    print_messages(found, columns, as_json=as_json, empty="There are no conflicts.")


def _claim(claim: Claim) -> str:
    return f"{logged.value(claim.value)} ({logged.who(claim.source)})"


def _state(conflict: Conflict) -> str:
    # Here and not above: importing the contract would slow every other command down.
    from wedsync.api.conflicts.v1.service_pb2 import ConflictState  # noqa: PLC0415

    state = ConflictState.Name(conflict.state).removeprefix("CONFLICT_STATE_").lower()
    return f"{state}: {_claim(conflict.final)}" if conflict.HasField("final") else state
