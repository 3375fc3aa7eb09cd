"""Which links hear of a message, on a real PostgreSQL: those there when it was said, and no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from services.gateway.store.deliveries import Commit
from tests.support.gateway_store import SEEN_AT, Stores, Tenant, a_commit, an_item, new_tenant
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind


def said(tenant: Tenant, *texts: str) -> list[Commit]:
    """Return the commits of one message: the first says it, the others change what was said."""
    message = replace(an_item(tenant.item_id, text="x"), kind=ItemKind.MESSAGE)
    return [
        a_commit(
            tenant.link.wedding_id,
            replace(message, fields={"text": replace(message.fields["text"], value=text, revision=number)}),
            number,
            committed_at=SEEN_AT + timedelta(seconds=number),
        )
        for number, text in enumerate(texts, start=1)
    ]


def due_for(stores: Stores, tenant: Tenant) -> list[int]:
    """Return the sequences of the deliveries to the tenant's link."""
    rows = stores.sql(
        "SELECT sequence FROM gateway.vendor_deliveries WHERE link_id = %s ORDER BY sequence",
        tenant.link.link_id,
    )
    return [row["sequence"] for row in rows]


async def test_a_message_goes_to_every_link_there_is(stores: Stores, tenant: Tenant) -> None:
    """What is said is due everywhere once, and its edit too while that is still on its way."""
    colleague = await new_tenant(stores, wedding_id=tenant.link.wedding_id)
    assert len(await stores.deliveries.accept(said(tenant, "Hello", "Hello!"))) == 4
    assert due_for(stores, tenant) == due_for(stores, colleague) == [1, 2]


async def test_a_later_link_hears_nothing_of_before(stores: Stores, tenant: Tenant) -> None:
    """Whoever links later is told neither what was said before nor that it was changed; all else it gets."""
    first, second, third = said(tenant, "Hello", "Hello!", "Hello again")
    event = a_commit(tenant.link.wedding_id, an_item(new_id(), title="Vows"), 4)
    await stores.deliveries.accept([first, event])
    late = await new_tenant(stores, wedding_id=tenant.link.wedding_id)
    await stores.deliveries.accept([third, second])
    assert due_for(stores, late) == [4]
    assert due_for(stores, tenant) == [1, 2, 3, 4]


async def test_an_edit_goes_where_the_message_is_known(stores: Stores, tenant: Tenant) -> None:
    """Long after it was posted an edit is due where a record of it is kept."""
    first, second = said(tenant, "Hello", "Hello!")
    await stores.deliveries.accept([first])
    held = await stores.leases.take(tenant.key(), ItemKind.MESSAGE)
    assert held is not None
    await stores.deliveries.close(held, state="delivered", called_at=SEEN_AT)
    assert len(await stores.deliveries.accept([second])) == 1
    assert due_for(stores, tenant) == [1, 2]


async def test_an_edit_told_before_its_message_is_not_lost(stores: Stores, tenant: Tenant) -> None:
    """Where hand-overs change places, the message is due once and says the newest."""
    first, second = said(tenant, "Hello", "Hello!")
    await stores.deliveries.accept([second])
    await stores.deliveries.accept([first])
    assert due_for(stores, tenant) == [1]
    held = await stores.leases.take(tenant.key(), ItemKind.MESSAGE)
    assert held is not None
    assert held.item is not None
    assert held.item.value("text") == "Hello!"
