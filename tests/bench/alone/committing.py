"""`python -m tests.bench.alone.committing URL SIZE COUNT WEDDING…`: COUNT changes committed as an owner does.

They are planned beforehand; then one statement follows the other, each with a change in SIZE of the weddings.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

from services.sync.actor_store import PostgresOwnerStore
from services.sync.facts import facts_of
from services.sync.owner import WeddingCommit
from services.sync.wedding import Wedding
from tests.bench.alone.told import say, wait
from tests.unit.sync.builders import create, update, vendor
from wedsync.model.ids import new_id

_LEASE_SECONDS = 600.0
_MOST_SECONDS = 8.0
"""A slow machine does not do them all."""
_NOTES = "Bring the rings. The quartet plays from half past two, and the toast waits for the planes to pass."


def main(url: str, size: int, count: int, wedding_ids: Sequence[str]) -> None:
    """Prepare, wait for the word, commit."""
    store, owner = PostgresOwnerStore(url), new_id()
    store.renew(owner, _LEASE_SECONDS)
    weddings = [store.activate(wedding_id, owner) for wedding_id in wedding_ids]
    planned = list(_planned(weddings, size, count))
    say("ready")
    wait()
    done, began = 0, time.perf_counter()
    for commits in planned:
        if time.perf_counter() > began + _MOST_SECONDS:
            break
        store.commit(commits)
        done += size
    say({"done": done, "seconds": time.perf_counter() - began})
    wait()
    store.close()


def _planned(weddings: Sequence[Wedding], size: int, count: int) -> Iterator[list[WeddingCommit]]:
    """Yield commits of so many changes in all, each batch in the next weddings in turn."""
    now, items = list(weddings), [new_id() for _ in weddings]
    for first in range(0, count, size):
        commits = []
        for turn in range(first, first + size):
            place = turn % len(now)
            wedding, item_id = now[place], items[place]
            edit = {"title": f"Edit {turn}", "notes": _NOTES}
            change = (
                update(item_id, edit, source=vendor())
                if wedding.items
                else create(item_id=item_id, source=vendor())
            )
            batch = wedding.plan([change], {})
            commits.append(WeddingCommit(wedding=wedding, batch=batch, facts=facts_of(wedding, batch.logged)))
            now[place] = wedding.after(batch)
        yield commits


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
