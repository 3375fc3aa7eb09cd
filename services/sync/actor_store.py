"""What an owner keeps in Postgres, by psycopg alone: an actor process imports no ORM.

A batch over any number of weddings is one statement. Its first part is the fence: the update of the
weddings' own rows, under their epoch and the expected sequence; everything else is joined to what
that update returned, so that a fenced wedding drops out alone and writes nothing.

A pipeline without BEGIN is one transaction, which its end commits, in one round trip: the scope set
by its first statement holds for the second and is gone afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import psycopg

from services.sync import crash_points
from services.sync.columns import columns_of
from services.sync.lease import Revoked
from services.sync.owner import OWNER, KnownBefore, WeddingCommit
from services.sync.stored_items import StoredItems
from services.sync.wedding import KnownChange, Wedding
from wedsync.errors import DeadlineExceeded, NotOwner, Unavailable, UnknownWedding
from wedsync.model.changes import ItemState
from wedsync.model.codec import load_item, load_result
from wedsync.runtime.crash_points import reach
from wedsync.runtime.envelope import unseal

DIRECT_SECONDS = 2.0
"""Head start of the direct hand-over: the sweep leaves younger facts alone."""

_CONNECT_SECONDS = 3
_STATEMENT_SECONDS = 4  # below the service's limit for a call, so that the owner learns of it first
IDLE_SECONDS = 4
"""For how long an owner that stops in the midst of a takeover keeps the wedding's row from everybody else."""
_RETRY_SECONDS = 0.3

_SCOPE = "SELECT set_config('app.weddings', %s, true), set_config('statement_timeout', %s, true)"

_RENEW = """
WITH before AS (SELECT lease_until FROM sync.owners WHERE owner_id = %(owner)s)
INSERT INTO sync.owners AS o (owner_id, lease_until, address)
VALUES (%(owner)s, clock_timestamp() + make_interval(secs => %(seconds)s), %(address)s)
ON CONFLICT (owner_id) DO UPDATE SET lease_until = excluded.lease_until WHERE NOT o.revoked
RETURNING coalesce((SELECT lease_until > clock_timestamp() FROM before), false)
"""

_END = "DELETE FROM sync.owners WHERE owner_id = %(owner)s"

_TAKE = """
UPDATE sync.weddings w SET epoch = w.epoch + 1, owner_id = %(owner)s
WHERE w.wedding_id = %(wedding)s
  AND (w.owner_id = %(owner)s OR %(adopt)s AND (w.owner_id IS NULL OR NOT EXISTS (
    SELECT FROM sync.owners o WHERE o.owner_id = w.owner_id AND o.lease_until > clock_timestamp())))
RETURNING w.epoch, w.sequence,
  ARRAY(SELECT m.organization_id FROM sync.wedding_members m
        WHERE m.wedding_id = w.wedding_id ORDER BY m.organization_id)
"""

_TAKEN_FOR = """
SELECT greatest(0.0, extract(epoch FROM o.lease_until - clock_timestamp()))::float8, o.owner_id
FROM sync.weddings w LEFT JOIN sync.owners o USING (owner_id) WHERE w.wedding_id = %(wedding)s
"""

_ITEMS = "SELECT item_id::text, state FROM sync.items WHERE wedding_id = %(wedding)s"

_RELEASE = """
UPDATE sync.weddings SET owner_id = NULL WHERE wedding_id = ANY(%(weddings)s) AND owner_id = %(owner)s
"""

_KEYS = """
SELECT k.wedding_id, k.change_id, k.fingerprint, k.result, k.created_at
FROM unnest(%(weddings)s::uuid[], %(changes)s::uuid[]) AS asked (wedding_id, change_id)
JOIN sync.change_keys k USING (wedding_id, change_id)
"""

# Rows are locked in id order, so that two batches over the same weddings cannot wait for each other.
# Bytes go in binary (`%b`): as text every one of them would be written and read as two digits.
_COMMIT = """
WITH part AS (
  SELECT *
  FROM unnest(%(wedding)s::uuid[], %(epoch)s::bigint[], %(expected)s::bigint[], %(sequence)s::bigint[])
    AS p (wedding_id, epoch, expected, sequence)
), locked AS MATERIALIZED (
  SELECT w.wedding_id FROM sync.weddings w JOIN part p USING (wedding_id)
  WHERE w.epoch = p.epoch AND w.sequence = p.expected ORDER BY w.wedding_id FOR UPDATE OF w
), owned AS (
  UPDATE sync.weddings w
  SET sequence = p.sequence, committed_at = greatest(w.committed_at, clock_timestamp())
  FROM locked l JOIN part p USING (wedding_id)
  WHERE w.wedding_id = l.wedding_id AND w.epoch = p.epoch AND w.sequence = p.expected
  RETURNING w.wedding_id, w.committed_at
), new_items AS (
  INSERT INTO sync.items (wedding_id, item_id, kind, deleted, revision, state)
  SELECT * FROM unnest(%(i_wedding)s::uuid[], %(i_item)s::uuid[], %(i_kind)s::text[], %(i_deleted)s::bool[],
                       %(i_revision)s::bigint[], %(i_state)b::bytea[])
    AS i (wedding_id, item_id, kind, deleted, revision, state)
  WHERE i.wedding_id IN (SELECT wedding_id FROM owned)
  ON CONFLICT (wedding_id, item_id) DO UPDATE
    SET deleted = excluded.deleted, revision = excluded.revision, state = excluded.state
), new_changes AS (
  INSERT INTO sync.changes (wedding_id, sequence, change_id, item_id, body, state, trace_parent,
                            committed_at)
  SELECT c.*, o.committed_at
  FROM unnest(%(c_wedding)s::uuid[], %(c_sequence)s::bigint[], %(c_change)s::uuid[], %(c_item)s::uuid[],
              %(c_body)b::bytea[], %(c_state)b::bytea[], %(c_trace)s::text[])
    AS c (wedding_id, sequence, change_id, item_id, body, state, trace_parent)
  JOIN owned o USING (wedding_id)
), new_keys AS (
  INSERT INTO sync.change_keys (wedding_id, change_id, fingerprint, result, created_at)
  SELECT k.*, o.committed_at
  FROM unnest(%(k_wedding)s::uuid[], %(k_change)s::uuid[], %(k_fingerprint)b::bytea[],
              %(k_result)b::bytea[])
    AS k (wedding_id, change_id, fingerprint, result)
  JOIN owned o USING (wedding_id)
), new_facts AS (
  INSERT INTO sync.outbox (wedding_id, fact_id, sequence, destination, lane, body, trace_parent,
                           committed_at, not_before)
  SELECT f.*, o.committed_at, clock_timestamp() + make_interval(secs => %(head_start)s)
  FROM unnest(%(f_wedding)s::uuid[], %(f_fact)s::uuid[], %(f_sequence)s::bigint[], %(f_destination)s::text[],
              %(f_lane)s::smallint[], %(f_body)b::bytea[], %(f_trace)s::text[])
    AS f (wedding_id, fact_id, sequence, destination, lane, body, trace_parent)
  JOIN owned o USING (wedding_id)
)
SELECT wedding_id, committed_at FROM owned
"""


class PostgresOwnerStore:
    """An owner's database: one connection, opened when needed and thrown away after any error."""

    def __init__(self, url: str, *, address: str = "") -> None:
        self._url, self._address = url, address
        self._connection: psycopg.Connection[Any] | None = None
        self._milliseconds = _STATEMENT_SECONDS * 1000

    def limit(self, seconds: float) -> None:
        """Have every statement from now on give up once nobody waits for it any more."""
        self._milliseconds = max(1, int(1000 * min(seconds, _STATEMENT_SECONDS)))

    def renew(self, owner_id: str, seconds: float) -> bool:
        """Renew the owner's lease by Postgres' clock."""
        with self._reaching() as connection:
            asked = {"owner": owner_id, "seconds": seconds, "address": self._address}
            renewed = connection.execute(_RENEW, asked).fetchone()
        if renewed is None:
            raise Revoked
        return bool(renewed[0])

    def end(self, owner_id: str) -> None:
        """End the owner's lease."""
        with self._reaching() as connection:
            connection.execute(_END, {"owner": owner_id})

    def activate(self, wedding_id: str, owner_id: str, *, adopt: bool = True) -> Wedding:
        """Take over first, then load: what an earlier owner still commits is either seen or fenced."""
        names = {"wedding": wedding_id, "owner": owner_id, "adopt": adopt}
        with self._reaching() as connection:
            with connection.pipeline():
                self._scope(connection, (wedding_id,))
                taken = connection.execute(_TAKE, names)
                reach(crash_points.DURING_TAKEOVER)
                items = connection.execute(_ITEMS, names, binary=True)
            reach(crash_points.AFTER_TAKEOVER)
            row = taken.fetchone()
            if row is None:
                raise _not_taken(self._holder(connection, names))
            return _wedding(wedding_id, row, items.fetchall())

    def release(self, wedding_ids: Iterable[str], owner_id: str) -> None:
        """Give the weddings up."""
        ids = list(wedding_ids)
        with self._reaching() as connection, connection.pipeline():
            self._scope(connection, ids)
            connection.execute(_RELEASE, {"weddings": ids, "owner": owner_id})

    def find_keys(self, asked: Mapping[str, Iterable[str]]) -> Mapping[str, Mapping[str, KnownChange]]:
        """Look the change ids up."""
        pairs = [(wedding, change) for wedding, changes in asked.items() for change in changes]
        names = {"weddings": [wedding for wedding, _ in pairs], "changes": [change for _, change in pairs]}
        with self._reaching() as connection:
            with connection.pipeline():
                self._scope(connection, asked)
                found = connection.execute(_KEYS, names, binary=True)
            return _known(found.fetchall())

    def commit(self, commits: Sequence[WeddingCommit]) -> Mapping[str, datetime]:
        """Write everything, or of a fenced wedding nothing."""
        scope = [commit.wedding.wedding_id for commit in commits]
        reach(crash_points.BEFORE_COMMIT)
        with self._reaching() as connection:
            with _new_ids_only(), connection.pipeline():
                self._scope(connection, scope)
                owned = connection.execute(_COMMIT, {"head_start": DIRECT_SECONDS, **columns_of(commits)})
            reach(crash_points.AFTER_COMMIT)
            return {str(wedding_id): committed_at for wedding_id, committed_at in owned.fetchall()}

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _holder(
        self, connection: psycopg.Connection[Any], names: Mapping[str, Any]
    ) -> tuple[Any, ...] | None:
        with connection.pipeline():
            self._scope(connection, (names["wedding"],))
            holder = connection.execute(_TAKEN_FOR, names)
        return holder.fetchone()

    def _scope(self, connection: psycopg.Connection[Any], wedding_ids: Iterable[str]) -> None:
        connection.execute(_SCOPE, (",".join(wedding_ids), str(self._milliseconds)))

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            self._connection = self._connection or _connect(self._url)
            yield self._connection
        except psycopg.errors.QueryCanceled as error:
            self.close()
            raise DeadlineExceeded("A statement took too long and was undone; retry.") from error
        except psycopg.Error as error:
            # After an error in COMMIT nobody knows the outcome, and a broken connection stays broken.
            with contextlib.suppress(psycopg.Error):
                self.close()
            raise Unavailable(
                f"PostgreSQL cannot do this right now ({type(error).__name__}).", retry_after=_RETRY_SECONDS
            ) from error


@contextlib.contextmanager
def _new_ids_only() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        if not (error.diag.table_name or "").startswith("change_keys"):
            raise
        raise KnownBefore from error


def _connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=_CONNECT_SECONDS,
        prepare_threshold=2,
        application_name="wedsync-actor",
        options=f"-c statement_timeout={_STATEMENT_SECONDS * 1000} -c timezone=UTC"
        f" -c idle_in_transaction_session_timeout={IDLE_SECONDS * 1000}",
        # A server that vanished without a word is noticed before the service gives up on the call.
        tcp_user_timeout=_STATEMENT_SECONDS * 1000,
    )


def _not_taken(row: tuple[Any, ...] | None) -> UnknownWedding | NotOwner:
    if row is None:
        return UnknownWedding()
    left, owner_id = row
    return NotOwner(retry_after=left or 0.0, metadata={OWNER: str(owner_id)} if owner_id and left else {})


def _wedding(wedding_id: str, taken: tuple[Any, ...], items: Sequence[tuple[Any, ...]]) -> Wedding:
    epoch, sequence, members = taken
    return Wedding(
        wedding_id=wedding_id,
        epoch=epoch,
        sequence=sequence,
        member_ids=tuple(members),
        items=StoredItems(dict(items), _item),
    )


def _item(state: bytes) -> ItemState:
    return load_item(orjson.loads(unseal(state).payload))


def _known(rows: Sequence[tuple[Any, ...]]) -> dict[str, dict[str, KnownChange]]:
    known: dict[str, dict[str, KnownChange]] = {}
    for wedding_id, change_id, fingerprint, sealed, created_at in rows:
        result = load_result(orjson.loads(unseal(sealed).payload))
        if result.sequence:
            result = replace(result, committed_at=created_at)
        found = KnownChange(fingerprint=bytes(fingerprint), result=result)
        known.setdefault(str(wedding_id), {})[str(change_id)] = found
    return known
