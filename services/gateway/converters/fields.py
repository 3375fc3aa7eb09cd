"""A whole record by the field map of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.gateway.converters.contract import Context, Json
from services.gateway.vendors.field_rules import FieldRule
from services.gateway.vendors.pointers import placed
from wedsync.model.items import FieldValue

Rules = Mapping[str, FieldRule]


def read_fields(rules: Rules, record: Json, context: Context) -> dict[str, FieldValue]:
    """Return what a record shows of the fields with a converter. Raises `ValueError` naming the field."""
    return {path: _read(path, rule, record, context) for path, rule in rules.items() if rule.convert}


def write_fields(rules: Rules, values: Mapping[str, FieldValue], context: Context) -> dict[str, Any]:
    """Return the vendor's fields that say the values of those that have a converter.

    Raises `ValueError` naming the field where the vendor cannot say it.
    """
    written: dict[str, Any] = {}
    for path, value in values.items():
        for pointer, native in _written(path, rules.get(path), value, context).items():
            written = placed(written, pointer, native)
    return written


def _read(path: str, rule: FieldRule, record: Json, context: Context) -> FieldValue:
    try:
        return rule.reads(rule.convert.to_canonical(record, context)) if rule.convert else None
    except ValueError as error:
        raise ValueError(f"has a field {path} that {error}") from error


def _written(path: str, rule: FieldRule | None, value: FieldValue, context: Context) -> Mapping[str, Any]:
    if rule is None or rule.convert is None:
        return {}
    try:
        return rule.convert.to_vendor(rule.holds(value), context)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error
