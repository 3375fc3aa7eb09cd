"""Lists as Tave answers them: filters, sort orders, the paging envelope. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from wedsync.testing.tave.refusal import invalid
from wedsync.testing.tave.resources import Resource

Json = dict[str, Any]

_PAGE_SIZES = range(10, 101)


def page_of(resource: Resource, objects: Iterable[Json], query: Mapping[str, str]) -> Json:
    """Return the page the query asks for. Raises `Refused` for a parameter that is not declared."""
    allowed = {"page", "pageSize", "sortBy", *resource.filters, *resource.flags}
    _refuse_unknown(query, allowed)
    number, size = _number(query, "page", 1, range(1, 10**6)), _number(query, "pageSize", 100, _PAGE_SIZES)
    found = _sorted(resource, [o for o in objects if _wanted(resource, o, query)], query)
    rows = found[(number - 1) * size : number * size]
    pages = max(1, -(-len(found) // size))
    meta = {"currentPage": number, "totalPages": pages, "totalItems": len(found), "rows": size}
    return {"type": f"{resource.type}-collection", "meta": meta, "items": rows}


def whole(kind: str, resource: Resource, objects: Iterable[Json], query: Mapping[str, str]) -> Json:
    """Return everything at once, as the lists below a job do: they can be sorted but not paged."""
    _refuse_unknown(query, {"sortBy"})
    found = _sorted(resource, list(objects), query)
    meta = {"currentPage": 1, "totalPages": 1, "totalItems": len(found), "rows": max(1, len(found))}
    return {"type": f"{kind}-collection", "meta": meta, "items": found}


def _refuse_unknown(query: Mapping[str, str], allowed: set[str]) -> None:
    if unknown := set(query) - allowed:
        raise invalid({name: ["is not a parameter of this list"] for name in unknown})


def _number(query: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    given = query.get(name, str(default))
    if not given.isdecimal() or int(given) not in allowed:
        raise invalid({name: [f"must be from {allowed[0]} to {allowed[-1]}"]})
    return int(given)


def _wanted(resource: Resource, item: Json, query: Mapping[str, str]) -> bool:
    for flag, hides in resource.flags.items():
        if query.get(flag, "false") not in {"true", "false"}:
            raise invalid({flag: ["must be true or false"]})
        if item[hides] and query.get(flag) != "true":
            return False
    return all(_matches(item, name, query[name]) for name in resource.filters if name in query)


def _matches(item: Json, name: str, value: str) -> bool:
    if name == "externalMappingId":
        return any(mapping["id"] == value for mapping in item["externalMappings"] or ())
    return bool(item[name] == value)


def _sorted(resource: Resource, found: list[Json], query: Mapping[str, str]) -> list[Json]:
    name, _, direction = query.get("sortBy", "id").partition(" ")
    if name not in resource.sort or direction not in {"", "asc", "desc"}:
        raise invalid({"sortBy": [f"must be one of {', '.join(resource.sort)}, with asc or desc"]})
    by_id = sorted(found, key=lambda o: str(o["id"]))
    return sorted(by_id, key=lambda o: str(o.get(name) or ""), reverse=direction == "desc")
