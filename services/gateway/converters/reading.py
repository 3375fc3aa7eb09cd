"""Converters as manifests describe them, and what in a description cannot be right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from phonenumbers import SUPPORTED_REGIONS

from services.gateway.converters import people, plain, times
from services.gateway.converters.contract import Converter
from services.gateway.converters.money import Form, Money, read_digits
from services.gateway.vendors.field_rules import Direction, Equivalence
from wedsync.model.items import FieldSpec, FieldType

_INSTANTS = frozenset({"rfc3339", "unix"})
_ON_INSTANT = frozenset({Equivalence.INSTANT, Equivalence.INSTANT_MINUTE})


@dataclass(frozen=True, slots=True)
class _Sort:
    """A type of converter: what it needs, may have besides, and is for."""

    build: Callable[..., Converter]
    suits: AbstractSet[FieldType] = field(kw_only=True)
    needs: str = field(default="", kw_only=True)
    may: str = field(default="", kw_only=True)


_SORTS: Mapping[str, _Sort] = {
    "text": _Sort(plain.Text, needs="at", suits={FieldType.TEXT, FieldType.LINES}),
    "number": _Sort(plain.Number, needs="at", suits={FieldType.INTEGER}),
    "flag": _Sort(plain.Flag, needs="at", suits={FieldType.BOOL}),
    "date": _Sort(plain.Day, needs="at", suits={FieldType.DATE}),
    "choice": _Sort(plain.Choice, needs="at values", may="fallback", suits={FieldType.ENUM}),
    "labels": _Sort(plain.Labels, needs="at", may="item separator", suits={FieldType.TAGS}),
    "money": _Sort(
        Money, needs="at form", may="currency lower_case digits zero_is_nothing", suits={FieldType.MONEY}
    ),
    "local_time": _Sort(times.LocalTime, may="at date time zone to_minute", suits={FieldType.ZONED_TIME}),
    "rfc3339": _Sort(times.Rfc3339, needs="at", may="zone", suits={FieldType.ZONED_TIME, FieldType.DATE}),
    "unix": _Sort(times.Unix, needs="at", may="unit", suits={FieldType.ZONED_TIME, FieldType.DATE}),
    "person_name": _Sort(people.PersonName, needs="first last", suits={FieldType.TEXT}),
    "phone": _Sort(people.Phone, needs="at region", suits={FieldType.TEXT}),
}


def read_converter(data: Mapping[str, Any], spec: FieldSpec) -> Converter:
    """Return the converter that a manifest describes for a field, which has been found valid."""
    given = {name: value for name, value in data.items() if name != "type"}
    if "form" in given:
        given["form"] = Form(given["form"])
    if spec.type is FieldType.DATE and data["type"] in _INSTANTS:
        given["day"] = True
    return _SORTS[data["type"]].build(**given)


def converter_problems(
    rule: Mapping[str, Any], spec: FieldSpec, settings: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what is wrong with a field's converter, given the field and the manifest's settings."""
    data = rule["convert"]
    sort, given = _SORTS[data["type"]], data.keys() - {"type"}
    if spec.type not in sort.suits:
        fitting = ", ".join(name for name, other in _SORTS.items() if spec.type in other.suits)
        yield f"does not suit a {spec.type}: choose from {fitting}"
        return
    if lacking := sorted(set(sort.needs.split()) - given):
        yield f"lacks {', '.join(lacking)}, which a {data['type']} needs"
    if extra := sorted(given - set(f"{sort.needs} {sort.may}".split())):
        yield f"has {', '.join(extra)}, which a {data['type']} does not have: drop it"
    yield from _setting_problems(data, settings)
    yield from _loss_problems(rule, data, spec)
    match data["type"]:
        case "choice" if "values" in data:
            yield from _choice_problems(rule, data, spec)
        case "local_time" if ("at" in data) == ("date" in data) or ("date" in data) != ("time" in data):
            yield "needs either at, or date and time: say where the local time stands"
        case "money" if "digits" in data and data.get("form") != Form.MINOR_UNITS:
            yield "has digits, which count for minor_units only: drop it"


def _setting_problems(data: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    for name, check in _SETTINGS.items():
        if name not in data:
            continue
        if data[name] not in settings:
            yield f"names the setting {data[name]}: describe it under settings"
        elif problem := check(settings[data[name]]["default"]):
            yield f"names the setting {data[name]}, whose default {problem}"


def _digits_problem(text: str) -> str:
    try:
        read_digits(text)
    except ValueError as error:
        return str(error)
    return ""


def _region_problem(text: str) -> str:
    return "" if text in SUPPORTED_REGIONS else f"is {text!r}: write the two letters of a country, such as US"


_SETTINGS = {"digits": _digits_problem, "region": _region_problem}
"""What the value of a setting must be that a converter reads."""


def _loss_problems(rule: Mapping[str, Any], data: Mapping[str, Any], spec: FieldSpec) -> Iterator[str]:
    """Yield what gets lost on the way and is not declared as the field's equivalence."""
    declared = Equivalence(rule["equivalence"])
    kept = _keeps(data, spec)
    if kept and declared not in kept:
        choice = " or ".join(sorted(kept))
        yield f"loses what the equivalence {declared} promises to keep: write {choice} as equivalence"
    if spec.type is FieldType.DATE and data["type"] in _INSTANTS and rule["direction"] != Direction.IN:
        yield "cannot write a day as an instant: write in as direction, or choose date"


def _keeps(data: Mapping[str, Any], spec: FieldSpec) -> frozenset[Equivalence]:
    """Return the equivalences that hold for a converter, empty for all."""
    match data["type"]:
        case "rfc3339" | "unix" if spec.type is FieldType.ZONED_TIME:
            return _ON_INSTANT
        case "local_time" if "zone" not in data:
            return frozenset({Equivalence.INSTANT_MINUTE}) if data.get("to_minute") else _ON_INSTANT
        case "local_time" if data.get("to_minute"):
            return frozenset({Equivalence.MINUTE, Equivalence.INSTANT_MINUTE})
        case "person_name":
            return frozenset({Equivalence.TRIMMED, Equivalence.SINGLE_LINE})
        case "phone":
            return frozenset({Equivalence.PHONE})
        case "labels":
            return frozenset({Equivalence.TRIMMED, Equivalence.SINGLE_LINE})
        case _:
            return frozenset()


def _choice_problems(rule: Mapping[str, Any], data: Mapping[str, Any], spec: FieldSpec) -> Iterator[str]:
    if flags := [word for word in data["values"] if not isinstance(word, str)]:
        yield f"has the word {flags[0]}, which is no text to YAML: put it in quotes"
    ours = {*data["values"].values(), *([data["fallback"]] if "fallback" in data else [])}
    if unknown := sorted(ours - set(spec.values)):
        yield f"makes {', '.join(unknown)} of the vendor's words: choose from {', '.join(spec.values)}"
    told = set(rule.get("accepts", spec.values))
    if rule["direction"] != Direction.IN and (untold := sorted(told - set(data["values"].values()))):
        yield f"has no word for {', '.join(untold)}: map one to it, or list in accepts what it can be told"
