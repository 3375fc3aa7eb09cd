"""The Tave job as a booking. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.gateway.vendors.port import VendorRejected
from services.gateway.vendors.tave.mapping import Context, Json, text_of
from wedsync.model.items import FieldValue, ItemKind

_STATUS = {"lead": "inquiry", "booked": "booked", "fulfillment": "in_progress", "completed": "completed"}
_STAGE = {status: stage for stage, status in _STATUS.items()}


def read(job: Json, context: Context) -> dict[str, FieldValue]:
    """Return the job's canonical fields. Raises `ValueError` if it makes no sense."""
    fields = context.shown(ItemKind.BOOKING, job)
    return {
        **fields,
        "title": fields["title"] or text_of(job.get("title")) or "Untitled job",
        "service": context.service,
        "status": _status(job),
    }


def changes(job: Json, values: Mapping[str, FieldValue], context: Context) -> dict[str, Any]:
    """Return the vendor's fields that must be written so that the job shows the values."""
    current = read(job, context)
    wanted = {path: value for path, value in values.items() if value != current.get(path)}
    written = context.written(ItemKind.BOOKING, wanted)
    return written | (_stage(job, wanted["status"]) if "status" in wanted else {})


def _status(job: Json) -> str:
    stage = job.get("stage")
    if stage not in _STATUS:
        raise ValueError("is in an unknown stage")
    # A completed job is closed as a matter of course; any other closed job came to nothing.
    return "cancelled" if job.get("closed") is True and stage != "completed" else _STATUS[stage]


def _stage(job: Json, status: FieldValue) -> dict[str, Any]:
    if status == "cancelled":
        return {"closed": True, "stage": "fulfillment" if job["stage"] == "completed" else job["stage"]}
    if status not in _STAGE:
        raise VendorRejected("a Tave job is always in a stage: choose a status")
    return {"closed": False, "stage": _STAGE[str(status)]}
