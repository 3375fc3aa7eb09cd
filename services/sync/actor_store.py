"""What an owner keeps in Postgres, by psycopg alone: an actor process imports no ORM.

A batch over any number of weddings is one statement. Its first part is the fence: the update of the
weddings' own rows, under their epoch and the expected sequence; everything else is joined to what
that update returned, so that a fenced wedding drops out alone and writes nothing.

Whatever concerns a wedding is one round trip, whose first statement sets the scope for the others.
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
from wedsync.runtime.round_trip import BY_KEY, Asked, Row, Session, Statement

DIRECT_SECONDS = 2.0
"""Head start of the direct hand-over: the sweep leaves younger facts alone."""

_CONNECT_SECONDS = 3
_STATEMENT_SECONDS = 4  # below the service's limit for a call, so that the owner learns of it first
IDLE_SECONDS = 4
"""For how long an owner that stops in the midst of a takeover keeps the wedding's row from everybody else."""
_RETRY_SECONDS = 0.3

_SCOPE = Statement(
    "scope",
    "SELECT set_config('app.weddings', %(weddings)s, true), set_config('statement_timeout', %(limit)s, true)",
)

_RENEW = Statement(
    "renew",
    """
WITH before AS (SELECT lease_until FROM sync.owners WHERE owner_id = %(owner)s)
INSERT INTO sync.owners AS o (owner_id, lease_until, address)
VALUES (%(owner)s, clock_timestamp() + make_interval(secs => %(seconds)s), %(address)s)
ON CONFLICT (owner_id) DO UPDATE SET lease_until = excluded.lease_until WHERE NOT o.revoked
RETURNING coalesce((SELECT lease_until > clock_timestamp() FROM before), false)
""",
)

_END = Statement("end", "DELETE FROM sync.owners WHERE owner_id = %(owner)s")

_TAKE = Statement(
    "take",
    """
UPDATE sync.weddings w SET epoch = w.epoch + 1, owner_id = %(owner)s
WHERE w.wedding_id = %(wedding)s
  AND (w.owner_id = %(owner)s OR %(adopt)s AND (w.owner_id IS NULL OR NOT EXISTS (
    SELECT FROM sync.owners o WHERE o.owner_id = w.owner_id AND o.lease_until > clock_timestamp())))
RETURNING w.epoch, w.sequence,
  ARRAY(SELECT m.organization_id FROM sync.wedding_members m
        WHERE m.wedding_id = w.wedding_id ORDER BY m.organization_id)
""",
)

_TAKEN_FOR = Statement(
    "taken_for",
    """
SELECT greatest(0.0, extract(epoch FROM o.lease_until - clock_timestamp()))::float8, o.owner_id
FROM sync.weddings w LEFT JOIN sync.owners o USING (owner_id) WHERE w.wedding_id = %(wedding)s
""",
)

_ITEMS = Statement("items", "SELECT item_id::text, state FROM sync.items WHERE wedding_id = %(wedding)s")

_RELEASE = Statement(
    "release",
    """
UPDATE sync.weddings SET owner_id = NULL
WHERE wedding_id = ANY(%(weddings)s::uuid[]) AND owner_id = %(owner)s
""",
)

_KEYS = Statement(
    "keys",
    """
SELECT k.wedding_id, k.change_id, k.fingerprint, k.result, k.created_at
FROM unnest(%(weddings)s::uuid[], %(changes)s::uuid[]) AS asked (wedding_id, change_id)
JOIN sync.change_keys k USING (wedding_id, change_id)
""",
)

# Rows are locked in id order, so that two batches over the same weddings cannot wait for each other.
_COMMIT = Statement(
    "commit",
    """
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
                       %(i_revision)s::bigint[], %(i_state)s::bytea[])
    AS i (wedding_id, item_id, kind, deleted, revision, state)
  WHERE i.wedding_id IN (SELECT wedding_id FROM owned)
  ON CONFLICT (wedding_id, item_id) DO UPDATE
    SET deleted = excluded.deleted, revision = excluded.revision, state = excluded.state
), new_changes AS (
  INSERT INTO sync.changes (wedding_id, sequence, change_id, item_id, body, state, trace_parent,
                            committed_at)
  SELECT c.*, o.committed_at
  FROM unnest(%(c_wedding)s::uuid[], %(c_sequence)s::bigint[], %(c_change)s::uuid[], %(c_item)s::uuid[],
              %(c_body)s::bytea[], %(c_state)s::bytea[], %(c_trace)s::text[])
    AS c (wedding_id, sequence, change_id, item_id, body, state, trace_parent)
  JOIN owned o USING (wedding_id)
), new_keys AS (
  INSERT INTO sync.change_keys (wedding_id, change_id, fingerprint, result, created_at)
  SELECT k.*, o.committed_at
  FROM unnest(%(k_wedding)s::uuid[], %(k_change)s::uuid[], %(k_fingerprint)s::bytea[],
              %(k_result)s::bytea[])
    AS k (wedding_id, change_id, fingerprint, result)
  JOIN owned o USING (wedding_id)
), new_facts AS (
  INSERT INTO sync.outbox (wedding_id, fact_id, sequence, destination, lane, body, trace_parent,
                           committed_at, not_before)
  SELECT f.*, o.committed_at, clock_timestamp() + make_interval(secs => %(head_start)s)
  FROM unnest(%(f_wedding)s::uuid[], %(f_fact)s::uuid[], %(f_sequence)s::bigint[], %(f_destination)s::text[],
              %(f_lane)s::smallint[], %(f_body)s::bytea[], %(f_trace)s::text[])
    AS f (wedding_id, fact_id, sequence, destination, lane, body, trace_parent)
  JOIN owned o USING (wedding_id)
)
SELECT wedding_id, committed_at FROM owned
""",
)


class PostgresOwnerStore:
    """An owner's database: one connection, opened when needed and thrown away after any error."""

    def __init__(self, url: str, *, address: str = "") -> None:
        self._url, self._address = url, address
        self._session: Session | None = None
        self._milliseconds = _STATEMENT_SECONDS * 1000

    def limit(self, seconds: float) -> None:
        """Have every statement from now on give up once nobody waits for it any more."""
        self._milliseconds = max(1, int(1000 * min(seconds, _STATEMENT_SECONDS)))

    def renew(self, owner_id: str, seconds: float) -> bool:
        """Renew the owner's lease by Postgres' clock."""
        asked = {"owner": owner_id, "seconds": seconds, "address": self._address}
        with self._reaching() as session:
            (renewed,) = session.exchange((_RENEW, asked))
        if not renewed:
            raise Revoked
        return bool(renewed[0][0])

    def end(self, owner_id: str) -> None:
        """End the owner's lease."""
        with self._reaching() as session:
            session.exchange((_END, {"owner": owner_id}))

    def activate(
        self, wedding_id: str, owner_id: str, *, adopt: bool = True, instead_of: Sequence[str] = ()
    ) -> Wedding:
        """Take over first, then load: what an earlier owner still commits is either seen or fenced."""
        names = {"wedding": wedding_id, "owner": owner_id, "adopt": adopt}
        scope = self._scope((wedding_id,))
        # Two transactions in one round trip: as one, two owners that swap weddings could wait for each other.
        released = [self._release(instead_of, owner_id)] if instead_of else []
        reach(crash_points.BEFORE_TAKEOVER)
        with self._reaching() as session:
            *_, (_, taken, items) = session.exchanges(*released, [scope, (_TAKE, names), (_ITEMS, names)])
            reach(crash_points.AFTER_TAKEOVER)
            if not taken:
                _, holders = session.exchange(scope, (_TAKEN_FOR, names))
                raise _not_taken(holders)
            return _wedding(wedding_id, taken[0], items)

    def release(self, wedding_ids: Iterable[str], owner_id: str) -> None:
        """Give the weddings up."""
        with self._reaching() as session:
            session.exchange(*self._release(list(wedding_ids), owner_id))

    def find_keys(self, asked: Mapping[str, Iterable[str]]) -> Mapping[str, Mapping[str, KnownChange]]:
        """Look the change ids up."""
        pairs = [(wedding, change) for wedding, changes in asked.items() for change in changes]
        names = {"weddings": [wedding for wedding, _ in pairs], "changes": [change for _, change in pairs]}
        with self._reaching() as session:
            _, found = session.exchange(self._scope(asked), (_KEYS, names))
            return _known(found)

    def commit(self, commits: Sequence[WeddingCommit]) -> Mapping[str, datetime]:
        """Write everything, or of a fenced wedding nothing."""
        scope = self._scope(commit.wedding.wedding_id for commit in commits)
        values = {"head_start": DIRECT_SECONDS, **columns_of(commits)}
        reach(crash_points.BEFORE_COMMIT)
        with self._reaching() as session:
            with _new_ids_only():
                _, owned = session.exchange(scope, (_COMMIT, values))
            reach(crash_points.AFTER_COMMIT)
            return {str(wedding_id): committed_at for wedding_id, committed_at in owned}

    def close(self) -> None:
        """Close the connection."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _release(self, wedding_ids: Sequence[str], owner_id: str) -> list[Asked]:
        return [self._scope(wedding_ids), (_RELEASE, {"weddings": wedding_ids, "owner": owner_id})]

    def _scope(self, wedding_ids: Iterable[str]) -> Asked:
        return _SCOPE, {"weddings": ",".join(wedding_ids), "limit": self._milliseconds}

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[Session]:
        try:
            self._session = self._session or Session(_connect(self._url))
            yield self._session
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
        application_name="wedsync-actor",
        options=f"-c statement_timeout={_STATEMENT_SECONDS * 1000} -c timezone=UTC"
        f" -c idle_in_transaction_session_timeout={IDLE_SECONDS * 1000} {BY_KEY}",
        # A server that vanished without a word is noticed before the service gives up on the call.
        tcp_user_timeout=_STATEMENT_SECONDS * 1000,
    )


def _not_taken(holders: Sequence[Row]) -> UnknownWedding | NotOwner:
    if not holders:
        return UnknownWedding()
    ((left, owner_id),) = holders
    return NotOwner(retry_after=left or 0.0, metadata={OWNER: str(owner_id)} if owner_id and left else {})


def _wedding(wedding_id: str, taken: Row, items: Sequence[Row]) -> Wedding:
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


def _known(rows: Sequence[Row]) -> dict[str, dict[str, KnownChange]]:
    known: dict[str, dict[str, KnownChange]] = {}
    for wedding_id, change_id, fingerprint, sealed, created_at in rows:
        result = load_result(orjson.loads(unseal(sealed).payload))
        if result.sequence:
            result = replace(result, committed_at=created_at)
        found = KnownChange(fingerprint=bytes(fingerprint), result=result)
        known.setdefault(str(wedding_id), {})[str(change_id)] = found
    return known
