"""The Tave job as a booking. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.gateway.vendors.port import VendorRejected
from services.gateway.vendors.tave.mapping import Context, Json, text_of
from wedsync.model.items import FieldValue

_STATUS = {"lead": "inquiry", "booked": "booked", "fulfillment": "in_progress", "completed": "completed"}
_STAGE = {status: stage for stage, status in _STATUS.items()}
_PLAIN = {"title": "name", "date": "eventDate", "guest_count": "guestCount", "notes": "leadNotes"}


def read(job: Json, context: Context) -> dict[str, FieldValue]:
    """Return the job's canonical fields. Raises `ValueError` if it makes no sense."""
    count = job.get("guestCount")
    if count is not None and type(count) is not int:
        raise ValueError("has a guestCount that is no number")
    return {
        "title": text_of(job.get("name")) or text_of(job.get("title")) or "Untitled job",
        "service": context.service,
        "status": _status(job),
        "date": text_of(job.get("eventDate")),
        "guest_count": count,
        "notes": text_of(job.get("leadNotes")),
    }


def changes(job: Json, values: Mapping[str, FieldValue], context: Context) -> dict[str, Any]:
    """Return the vendor's fields that must be written so that the job shows the values."""
    current = read(job, context)
    wanted = {path: value for path, value in values.items() if value != current.get(path)}
    written: dict[str, Any] = {name: wanted[path] for path, name in _PLAIN.items() if path in wanted}
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
