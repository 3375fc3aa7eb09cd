"""What a link or a replay would do, as messages."""

from __future__ import annotations

from services.gateway.inspect_record import Preview
from services.gateway.link_plan import LinkPlan
from services.gateway.matching import Difference, Doubt, Same, label
from services.gateway.records import Link
from services.gateway.replay import Replayed
from services.gateway.vendors.port import VendorRecord
from wedsync.api.gateway.v1 import delivery_pb2, link_pb2
from wedsync.convert import kind_to_message
from wedsync.convert.items import value_to_message
from wedsync.model.changes import ItemState
from wedsync.model.items import FieldValue, ItemKind


def plan_to_message(plan: LinkPlan) -> link_pb2.LinkPlan:
    """Return a plan as a message."""
    return link_pb2.LinkPlan(
        matches=[_match(same, list(fields)) for same, fields in plan.matches],
        review=[_review(doubt) for doubt in plan.review],
        create_in_wedding=[_record(record) for record in plan.new_in_wedding],
        create_at_vendor=[_item(item, reason) for item, reason in plan.new_at_vendor],
        unreadable=[
            link_pb2.PlannedCreate(record_id=bad.record_id, reason=bad.reason) for bad in plan.unreadable
        ],
        truncated=plan.truncated,
    )


def replayed_to_message(replayed: Replayed) -> delivery_pb2.ReplayedWebhook:
    """Return a replay as a message."""
    return delivery_pb2.ReplayedWebhook(
        webhook_id=replayed.webhook.received.webhook_id,
        replay_id=replayed.replay_id,
        records=[_preview(link, preview) for link, preview in replayed.records],
        note=replayed.note,
    )


def _preview(link: Link, preview: Preview) -> delivery_pb2.RecordDiff:
    return delivery_pb2.RecordDiff(
        link_id=link.link_id,
        record_id=preview.record_id,
        item_id=preview.item_id,
        kind=kind_to_message(preview.kind),
        change=preview.change or "",
        fields=[_diff(preview.kind, path, *values) for path, values in preview.fields.items()],
        note=preview.note,
    )


def _diff(kind: ItemKind, path: str, present: FieldValue, proposed: FieldValue) -> delivery_pb2.FieldDiff:
    return delivery_pb2.FieldDiff(
        path=path,
        present=value_to_message(kind, path, present),
        proposed=value_to_message(kind, path, proposed),
    )


def _match(same: Same, fields: list[Difference]) -> link_pb2.PlannedMatch:
    kind = same.item.kind
    return link_pb2.PlannedMatch(
        match=link_pb2.Match(record_id=same.record.record_id, item_id=same.item.item_id),
        kind=kind_to_message(kind),
        key=same.key,
        fields=[
            link_pb2.PlannedField(
                diff=_diff(kind, field.path, field.present, field.vendors),
                flow=link_pb2.Flow.Value(f"FLOW_{field.flow.upper()}"),
            )
            for field in fields
        ],
    )


def _review(doubt: Doubt) -> link_pb2.PlannedReview:
    record = doubt.record
    return link_pb2.PlannedReview(
        record_id=record.record_id,
        kind=kind_to_message(record.kind),
        label=label(record.kind, record.fields),
        item_ids=[item.item_id for item in doubt.items],
        reason=doubt.reason,
    )


def _record(record: VendorRecord) -> link_pb2.PlannedCreate:
    return link_pb2.PlannedCreate(
        record_id=record.record_id,
        kind=kind_to_message(record.kind),
        label=label(record.kind, record.fields),
    )


def _item(item: ItemState, reason: str) -> link_pb2.PlannedCreate:
    values = {path: state.value for path, state in item.fields.items()}
    return link_pb2.PlannedCreate(
        item_id=item.item_id,
        kind=kind_to_message(item.kind),
        label=label(item.kind, values),
        reason=reason,
    )
