"""The SQL of deliveries: made due, claimed, closed."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import text

from services.gateway.store.leases_sql import saved
from services.gateway.store.sql import CLAIM_SECONDS, asked_rows, one_of, unindexed
from wedsync.model.changes import Priority
from wedsync.runtime.round_trip import Statement

LANES: Mapping[Priority, int] = {lane: number for number, lane in enumerate(Priority)}
"""The most urgent lane is 0."""

LINKS = Statement(
    "links_of_weddings",
    """
    SELECT id, organization_id, wedding_id FROM gateway.wedding_vendor_integrations
    WHERE wedding_id = ANY(%(weddings)s::uuid[]) AND state <> 'ended'
""",
)
# Rows are locked in one order everywhere, so that two hand-overs cannot wait for each other in a circle.
PROJECT = Statement(
    "project",
    f"""
    INSERT INTO gateway.canonical_items AS c (wedding_id, item_id, kind, sequence, state)
    SELECT wedding_id, item_id, kind, sequence, decode(state, 'base64')
    FROM {asked_rows("wedding_id uuid, item_id uuid, kind text, sequence bigint, state text")} AS a
    ORDER BY wedding_id, item_id
    ON CONFLICT (wedding_id, item_id) DO UPDATE
        SET sequence = excluded.sequence, state = excluded.state, updated_at = clock_timestamp()
        WHERE c.sequence < excluded.sequence
""",
)
_DUE_COLUMNS = """
    INSERT INTO gateway.vendor_deliveries
        (id, created_at, organization_id, wedding_id, link_id, item_id, item_kind, change_id, sequence, lane,
         trace_parent)
"""
_MADE_DUE = (
    "id uuid, created_at timestamptz, organization_id text, wedding_id uuid, link_id uuid, item_id uuid,"
    " item_kind text, change_id uuid, sequence bigint, lane smallint, trace_parent text, taken boolean"
)
_ASKED_DUE = f"""
    INSERT INTO gateway.vendor_deliveries
        (id, created_at, organization_id, wedding_id, link_id, item_id, item_kind, change_id, sequence, lane,
         trace_parent, attempts, started_at, lease_until)
    SELECT a.id, a.created_at, a.organization_id, a.wedding_id, a.link_id, a.item_id, a.item_kind,
           a.change_id, a.sequence, a.lane, a.trace_parent, CASE WHEN a.taken THEN 1 ELSE 0 END,
           CASE WHEN a.taken THEN clock_timestamp() END,
           CASE WHEN a.taken THEN clock_timestamp() + make_interval(secs => {CLAIM_SECONDS})
                ELSE '-infinity' END
    FROM {asked_rows(_MADE_DUE)} AS a
"""
# In the words of the index of what is open for a record: that of all that is due would be walked through.
_IS_DUE = "v.state IN ('due', 'parked') AND v.state <> 'parked'"
# Who edited a record need not be told of it where nothing is open and the record shows it already.
_TO_TELL = """
    NOT (EXISTS (SELECT FROM gateway.vendor_activities c
                 WHERE c.id = a.change_id AND c.link_id = a.link_id AND c.agreed)
         AND NOT EXISTS (SELECT FROM gateway.vendor_deliveries o
                         WHERE o.link_id = a.link_id AND o.item_id = a.item_id
                           AND o.state IN ('due', 'parked')))
"""
DUE = Statement("due", f"{_ASKED_DUE} WHERE {_TO_TELL} ON CONFLICT DO NOTHING RETURNING id")
CORRECTION = "correction_id uuid, correction_cause uuid, correction_at timestamptz, correction_trace text"
"""The columns of a row that also makes its record due, although nothing was committed."""
CORRECT = f"""
    {_DUE_COLUMNS}
    SELECT correction_id, correction_at, organization_id, wedding_id, link_id, item_id, kind,
           correction_cause, 0, {LANES[Priority.NORMAL]}, correction_trace
"""
"""Makes such records due: the vendor must be corrected."""
# An edit of what was said goes only where it was said, or is about to be.
DUE_WHERE_TOLD = Statement(
    "due_where_told",
    f"""
    {_ASKED_DUE}
    WHERE (EXISTS (SELECT FROM gateway.shadow_items s WHERE s.link_id = a.link_id AND s.item_id = a.item_id)
           OR EXISTS (SELECT FROM gateway.vendor_deliveries v
                      WHERE v.link_id = a.link_id AND v.item_id = a.item_id AND {_IS_DUE}))
      AND {_TO_TELL}
    ON CONFLICT DO NOTHING RETURNING id
""",
)
EVERYTHING = text("""
    SELECT item_id, kind, sequence, updated_at FROM gateway.canonical_items
    WHERE wedding_id = :wedding_id AND kind <> :said_once
""")
CLAIM = Statement(
    "claim_deliveries",
    f"""
    WITH due AS MATERIALIZED (
        SELECT id, created_at, organization_id, link_id FROM gateway.vendor_deliveries w
        WHERE state = 'due' AND not_before <= clock_timestamp() AND lease_until < clock_timestamp()
          AND NOT EXISTS (SELECT 1 FROM gateway.wedding_vendor_integrations l
                          WHERE l.organization_id = w.organization_id AND l.id = w.link_id
                            AND (l.integration_id = ANY(%(integrations)s::uuid[])
                                 OR l.vendor = ANY(%(vendors)s::text[])))
        ORDER BY lane, created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    UPDATE gateway.vendor_deliveries d
    SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s), attempts = attempts + 1,
        started_at = clock_timestamp()
    FROM due LEFT JOIN gateway.wedding_vendor_integrations l
      ON l.organization_id = due.organization_id AND l.id = due.link_id
    WHERE d.id = due.id AND d.created_at = due.created_at AND {one_of("d.id", "id", "due")}
    RETURNING d.organization_id, d.wedding_id, d.link_id, d.item_id, d.item_kind, d.lane, d.attempts,
              d.trace_parent, d.created_at, l.integration_id, l.vendor
""",
)


def _free(more: str) -> str:
    """Return what is due for the records asked about.

    What somebody else holds just now is being closed: nobody waits for it, so nobody waits in a circle.
    """
    return f"""
        SELECT o.id, o.created_at, a.* FROM {asked_rows(f"link_id uuid, item_id uuid, {more}")} AS a
        CROSS JOIN LATERAL (
            SELECT v.id, v.created_at FROM gateway.vendor_deliveries v
            WHERE v.link_id = a.link_id AND v.item_id = a.item_id AND {_IS_DUE} FOR UPDATE SKIP LOCKED) o
    """


# What was parked for the record before is settled with it.
CLOSE = Statement(
    "close_deliveries",
    f"""
    WITH {saved("outcome text, reason text, called_at timestamptz, upto bigint")}, opened AS MATERIALIZED (
        SELECT o.*, d.outcome, d.reason, d.called_at FROM done d CROSS JOIN LATERAL (
            SELECT p.id, p.created_at FROM gateway.vendor_deliveries p
            WHERE p.link_id = d.link_id AND p.item_id = d.item_id AND p.state IN ('due', 'parked')
              AND p.sequence <= d.upto OFFSET 0) o
    ), closed AS (
        UPDATE gateway.vendor_deliveries v
        SET state = d.outcome, reason = d.reason, cause = '', called_at = d.called_at,
            lease_until = '-infinity', closed_at = clock_timestamp(),
            confirmed_at = CASE WHEN d.called_at IS NULL THEN NULL ELSE clock_timestamp() END
        FROM opened d
        WHERE v.id = d.id AND v.created_at = d.created_at AND {one_of("v.id", "id", "opened")}
          AND {unindexed("v.state")} IN ('due', 'parked')
    )
    SELECT link_id, item_id FROM done
""",
)
POSTPONE = Statement(
    "postpone_deliveries",
    f"""
    WITH free AS MATERIALIZED ({_free("reason text, cause text, untried int, seconds float")})
    UPDATE gateway.vendor_deliveries d
    SET reason = f.reason, cause = f.cause, lease_until = '-infinity',
        attempts = greatest(attempts - f.untried, 0),
        not_before = clock_timestamp() + make_interval(secs => f.seconds)
    FROM free f WHERE d.id = f.id AND d.created_at = f.created_at AND {one_of("d.id", "id", "free")}
""",
)
STOP = Statement(
    "stop_deliveries",
    f"""
    WITH free AS MATERIALIZED ({_free("state text, reason text, cause text, upto bigint")})
    UPDATE gateway.vendor_deliveries d
    SET state = f.state, reason = f.reason, cause = f.cause, lease_until = '-infinity',
        closed_at = clock_timestamp()
    FROM free f
    WHERE d.id = f.id AND d.created_at = f.created_at AND d.sequence <= coalesce(f.upto, d.sequence)
      AND {one_of("d.id", "id", "free")}
""",
)
