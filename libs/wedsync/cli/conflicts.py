"""`wedsync conflicts`: disagreements that wait for a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wedsync.cli import logged
from wedsync.cli.arguments import identifier
from wedsync.cli.output import AsJson, Columns, Limit, moment, print_messages, take
from wedsync.cli.session import connected, run

if TYPE_CHECKING:
    from wedsync.api.conflicts.v1.service_pb2 import Claim, Conflict

app = typer.Typer(help="Disagreements between sources.", no_args_is_help=True)


@app.command("list")
def list_conflicts(
    wedding: Annotated[str | None, typer.Option(callback=identifier, help="Only this wedding's.")] = None,
    as_json: AsJson = False,
    limit: Limit = 50,
) -> None:
    """List conflicts, newest first."""
    run(_list(wedding or "", as_json=as_json, limit=limit))


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
