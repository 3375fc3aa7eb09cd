"""Tave's people, companies and places in a job as contacts. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.gateway.vendors.tave.mapping import Context, Json, text_of
from wedsync.model.items import FieldValue, ItemKind

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_PERSON_PHONES = ("cellPhone", "homePhone", "workPhone")
WRITABLE_KINDS = frozenset({"person", "company", "location"})
"""An employee is a user of the studio's, whom the API does not let anyone change."""


def read(
    contact: Json, job_contact: Json, role_names: Mapping[str, str], context: Context
) -> dict[str, FieldValue]:
    """Return the contact's canonical fields. Raises `ValueError` if it makes no sense."""
    email = text_of(contact.get("email"))
    fields: dict[str, FieldValue] = {
        "name": _name(contact, context) or email or "Unnamed contact",
        "email": email,
        "phone": _number(contact.get(_phone_slot(contact))),
        "role": _role(job_contact, role_names),
    }
    if _is_person(contact):
        fields["company"] = text_of(contact.get("companyName"))
    return fields


def changes(
    contact: Json, current: Mapping[str, FieldValue], values: Mapping[str, FieldValue], context: Context
) -> dict[str, Any]:
    """Return the vendor's fields that must be written so that the contact shows the values."""
    wanted = {path: value for path, value in values.items() if value != current.get(path)}
    written = context.written(ItemKind.CONTACT, wanted) if _is_person(contact) else {}
    if "name" in wanted and not _is_person(contact):
        written["name"] = wanted["name"]
    if "email" in wanted:
        written["email"] = wanted["email"]
    if "phone" in wanted:
        written[_phone_slot(contact)] = _phone(text_of(wanted["phone"]))
    if "company" in wanted and _is_person(contact):
        written["companyName"] = wanted["company"]
    return written


def body_without_derived(contact: Json, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body without the name that Tave puts together for a person."""
    return {n: v for n, v in body.items() if not (n == "name" and _is_person(contact))}


def _is_person(contact: Json) -> bool:
    return contact.get("kind") not in {"company", "location"}


def _name(contact: Json, context: Context) -> FieldValue:
    whole = context.shown(ItemKind.CONTACT, contact)["name"] if _is_person(contact) else None
    return whole or text_of(contact.get("name"))


def _phone_slot(contact: Json) -> str:
    if not _is_person(contact):
        return "phone"
    return next((slot for slot in _PERSON_PHONES if _number(contact.get(slot))), _PERSON_PHONES[0])


def _number(phone: Json | None) -> str | None:
    return text_of((phone or {}).get("e164")) or text_of((phone or {}).get("formatted"))


def _phone(number: str | None) -> dict[str, str] | None:
    if number is None:
        return None
    return {"e164": number} if _E164.fullmatch(number) else {"formatted": number}


def _role(job_contact: Json, role_names: Mapping[str, str]) -> str | None:
    ids = [role for role in job_contact.get("jobRoles") or () if role]
    names = sorted(role_names[role] for role in ids if role in role_names)
    return ", ".join(names) or ("Client" if job_contact.get("client") else None)
