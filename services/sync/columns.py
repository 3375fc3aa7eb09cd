"""A batch of commits as one array per column, which `unnest` joins to rows again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from services.sync.lanes import LANES
from services.sync.owner import WeddingCommit
from wedsync.model.codec import dump_change, dump_item, dump_result
from wedsync.runtime.envelope import seal


def columns_of(commits: Sequence[WeddingCommit]) -> dict[str, Any]:
    """Return every array the commit statement is bound to, by name."""
    # A change's state and, of an item's last change, the item's own row: the same bytes, made once.
    states = [[_sealed(dump_item(entry.item)) for entry in commit.batch.logged] for commit in commits]
    return {
        **_table("", ("wedding", "epoch", "expected", "sequence"), _weddings(commits)),
        **_table("i_", ("wedding", "item", "kind", "deleted", "revision", "state"), _items(commits, states)),
        **_table(
            "c_",
            ("wedding", "sequence", "change", "item", "body", "state", "trace"),
            _changes(commits, states),
        ),
        **_table("k_", ("wedding", "change", "fingerprint", "result"), _keys(commits)),
        **_table(
            "f_", ("wedding", "fact", "sequence", "destination", "lane", "body", "trace"), _facts(commits)
        ),
    }


def _table(prefix: str, names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """Turn rows into one array per column, which is what `unnest` takes."""
    columns: list[list[Any]] = [[] for _ in names]
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return {prefix + name: column for name, column in zip(names, columns, strict=True)}


def _weddings(commits: Sequence[WeddingCommit]) -> Iterator[tuple[Any, ...]]:
    for c in commits:
        yield c.wedding.wedding_id, c.wedding.epoch, c.batch.expected_sequence, c.batch.sequence


def _items(commits: Sequence[WeddingCommit], states: Sequence[Sequence[bytes]]) -> Iterator[tuple[Any, ...]]:
    for c, sealed in zip(commits, states, strict=True):
        last = {
            entry.item.item_id: (entry, state) for entry, state in zip(c.batch.logged, sealed, strict=True)
        }
        for entry, state in last.values():
            item = entry.item
            yield (
                c.wedding.wedding_id,
                item.item_id,
                item.kind.value,
                item.deleted,
                entry.result.sequence,
                state,
            )


def _changes(
    commits: Sequence[WeddingCommit], states: Sequence[Sequence[bytes]]
) -> Iterator[tuple[Any, ...]]:
    for c, sealed in zip(commits, states, strict=True):
        for entry, state in zip(c.batch.logged, sealed, strict=True):
            change = entry.change
            record = {
                "change": dump_change(change),
                "result": dump_result(entry.result),
                "lane": change.priority.value,
            }
            yield (
                c.wedding.wedding_id,
                entry.result.sequence,
                change.change_id,
                change.item_id,
                _sealed(record),
                state,
                change.trace_parent,
            )


def _keys(commits: Sequence[WeddingCommit]) -> Iterator[tuple[Any, ...]]:
    for c in commits:
        for change_id, known in c.batch.remember.items():
            yield c.wedding.wedding_id, change_id, known.fingerprint, _sealed(dump_result(known.result))


def _facts(commits: Sequence[WeddingCommit]) -> Iterator[tuple[Any, ...]]:
    for c in commits:
        for fact in c.facts:
            yield (
                fact.wedding_id,
                fact.fact_id,
                fact.sequence,
                fact.destination.value,
                LANES.index(fact.priority),
                _sealed(fact.body),
                fact.trace_parent,
            )


def _sealed(record: Any) -> bytes:
    return seal(orjson.dumps(record))
