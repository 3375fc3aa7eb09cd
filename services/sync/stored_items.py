"""A wedding's items as they are stored, each read only when somebody asks for it. Pure.

An edit concerns one item of a wedding that may have hundreds: reading all of them would be most of what it
takes to load the wedding, and most of what it holds while it rests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from wedsync.model.changes import ItemState


class StoredItems(Mapping[str, ItemState]):
    """Items by id; `read` makes an item of its stored form."""

    def __init__(self, stored: Mapping[str, bytes | ItemState], read: Callable[[bytes], ItemState]) -> None:
        self._items, self._read = dict(stored), read

    def __getitem__(self, item_id: str) -> ItemState:
        item = self._items[item_id]
        if isinstance(item, bytes):
            item = self._items[item_id] = self._read(item)
        return item

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def after(self, changed: Mapping[str, ItemState]) -> StoredItems:
        """Return the items with some of them changed."""
        return StoredItems({**self._items, **changed}, self._read)


def changed(items: Mapping[str, ItemState], by: Mapping[str, ItemState]) -> Mapping[str, ItemState]:
    """Return the items with some of them changed, without reading the others."""
    return items.after(by) if isinstance(items, StoredItems) else {**items, **by}
