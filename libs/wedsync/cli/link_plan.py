"""`wedsync vendor plan`: what linking a vendor to a wedding would do, before it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from wedsync.cli.arguments import WeddingId, identifier, scope
from wedsync.cli.output import AsJson, Columns, as_data, console, print_json, print_table
from wedsync.cli.session import connected, run
from wedsync.cli.values import plain

if TYPE_CHECKING:
    from wedsync.api.gateway.v1.link_pb2 import LinkPlan, PlannedMatch

_FLOWS = ("?", "to the wedding", "to the vendor", "conflict")


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One line of a plan."""

    what: str
    record: str = ""
    item: str = ""
    about: str = ""


def plan(
    wedding_id: WeddingId,
    integration_id: Annotated[
        str, typer.Argument(metavar="INTEGRATION", help="The account's id.", callback=identifier)
    ],
    scope_: Annotated[
        list[str] | None, typer.Option("--scope", metavar="NAME=VALUE", help="What `vendor list` says.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a link would create, match and change on each side; nothing is written."""
    run(_plan(wedding_id, integration_id, scope(scope_ or []), as_json=as_json))


async def _plan(wedding_id: str, integration_id: str, scope: dict[str, str], *, as_json: bool) -> None:
    async with connected() as clients:
        found = await (await clients.gateway()).plan_link(wedding_id, integration_id, scope=scope)
    if as_json:
        print_json(as_data(found))
        return
    columns: Columns[_Line] = Columns(
        what=lambda line: line.what,
        record=lambda line: line.record,
        item=lambda line: line.item,
        about=lambda line: line.about,
    )
    print_table(columns, _lines(found), empty="There is nothing on either side.")
    if found.truncated:
        console().print("The vendor has more than was read for this plan.")


def _lines(found: LinkPlan) -> Iterator[_Line]:
    for match in found.matches:
        yield _Line(
            what=f"the same by {match.key}",
            record=match.match.record_id,
            item=match.match.item_id,
            about="; ".join(_fields(match)) or "alike",
        )
    for doubt in found.review:
        yield _Line(
            what="please decide",
            record=doubt.record_id,
            item=" ".join(doubt.item_ids),
            about=f"{doubt.label}: {doubt.reason}",
        )
    for what, created in (
        ("new in the wedding", found.create_in_wedding),
        ("new at the vendor", found.create_at_vendor),
        ("cannot be read", found.unreadable),
    ):
        for one in created:
            about = ": ".join(part for part in (one.label, one.reason) if part)
            yield _Line(what=what, record=one.record_id, item=one.item_id, about=about)


def _fields(match: PlannedMatch) -> Iterator[str]:
    for field in match.fields:
        diff = field.diff
        yield f"{diff.path} {_FLOWS[field.flow]}: {plain(diff.present)} / {plain(diff.proposed)}"
