"""The SQL of records: leased, seen in their context, saved and released."""

from __future__ import annotations

from services.gateway.store.sql import asked_rows, unindexed
from wedsync.runtime.round_trip import Statement

_LEASED = (
    "organization_id text, wedding_id uuid, link_id uuid, item_id uuid, kind text, fields text, token uuid"
)
# Rows are locked in one order everywhere, so that two transactions cannot wait for each other in a circle.
LEASE = Statement(
    "lease_records",
    f"""
    INSERT INTO gateway.shadow_items AS s
        (organization_id, wedding_id, link_id, item_id, kind, fields, lease_token, lease_until)
    SELECT a.organization_id, a.wedding_id, a.link_id, a.item_id, a.kind, decode(a.fields, 'base64'), a.token,
           clock_timestamp() + make_interval(secs => %(seconds)s)
    FROM {asked_rows(_LEASED)} AS a
    ORDER BY a.link_id, a.item_id
    ON CONFLICT (link_id, item_id) DO UPDATE
        SET lease_token = excluded.lease_token, lease_until = excluded.lease_until
        WHERE s.lease_until < clock_timestamp()
    RETURNING link_id, item_id, kind, record_id, version, generation, gone, fields, expected_record
""",
)
PEEK = Statement(
    "peek_record",
    """
    SELECT link_id, item_id, kind, record_id, version, generation, gone, fields, expected_record
    FROM gateway.shadow_items WHERE link_id = %(link_id)s::uuid AND item_id = %(item_id)s::uuid
""",
)
# A statement of its own after the lease: only then it sees what the holder before has committed.
_CONTEXT_OF = """
    SELECT p.link_id, p.item_id, {names}c.state AS item, coalesce(c.sequence, 0) AS sequence,
           EXISTS (SELECT FROM gateway.vendor_activities v
                   WHERE v.link_id = p.link_id AND v.item_id = p.item_id AND v.state = 'pending')
           OR EXISTS (SELECT FROM gateway.vendor_activities v
                      WHERE v.link_id = p.link_id AND v.item_id = p.item_id
                        AND v.sequence > coalesce(c.sequence, 0)) AS pending,
           ARRAY(SELECT i.id FROM gateway.delivery_intents i
                 WHERE i.link_id = p.link_id AND i.item_id = p.item_id
                   AND i.state IN ('open', 'superseded')
                   AND i.created_at > clock_timestamp() - make_interval(secs => %(recent)s)
                 ORDER BY i.created_at) AS intents
    FROM {places}
    LEFT JOIN gateway.canonical_items c ON c.wedding_id = p.wedding_id AND c.item_id = p.item_id
"""
_PLACES = f"{asked_rows('wedding_id uuid, link_id uuid, item_id uuid')} AS p"
CONTEXT = Statement("record_context", _CONTEXT_OF.format(names="", places=_PLACES))
# Of a record that is known by the vendor's name for it: where it is, is found out on the way.
_KNOWN = f"""
    {asked_rows("link_id uuid, record_id text, token uuid")} AS a
    JOIN gateway.shadow_items p USING (link_id, record_id)
"""
CONTEXT_OF_KNOWN = Statement("known_record_context", _CONTEXT_OF.format(names="p.record_id, ", places=_KNOWN))
LEASE_KNOWN = Statement(
    "lease_known_records",
    f"""
    WITH mine AS MATERIALIZED (
        SELECT p.link_id, p.item_id, a.token FROM {_KNOWN} WHERE p.lease_until < clock_timestamp()
        ORDER BY p.link_id, p.item_id FOR UPDATE OF p
    )
    UPDATE gateway.shadow_items s
    SET lease_token = m.token, lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
    FROM mine m
    WHERE s.link_id = m.link_id AND s.item_id = m.item_id AND s.lease_until < clock_timestamp()
    RETURNING s.link_id, s.item_id, kind, record_id, version, generation, gone, fields, expected_record
""",
)
INTENTS = Statement(
    "intents",
    "SELECT id, kind, fields FROM gateway.delivery_intents WHERE id = ANY(%(ids)s::uuid[])",
)
RELEASE = Statement(
    "release_records",
    f"""
    WITH mine AS MATERIALIZED (
        SELECT p.link_id, p.item_id FROM gateway.shadow_items p
        JOIN {asked_rows("link_id uuid, item_id uuid, token uuid")} AS a
          ON p.link_id = a.link_id AND p.item_id = a.item_id AND p.lease_token = a.token
        ORDER BY p.link_id, p.item_id FOR UPDATE OF p
    )
    UPDATE gateway.shadow_items s SET lease_token = NULL, lease_until = '-infinity'
    FROM mine m WHERE s.link_id = m.link_id AND s.item_id = m.item_id
""",
)
SUPERSEDE = Statement(
    "supersede_intents",
    f"""
    UPDATE gateway.delivery_intents i SET state = 'superseded'
    FROM {asked_rows("link_id uuid, item_id uuid, token uuid")} AS a
    JOIN gateway.shadow_items s ON s.link_id = a.link_id AND s.item_id = a.item_id
    CROSS JOIN LATERAL (
        SELECT o.id FROM gateway.delivery_intents o
        WHERE o.link_id = a.link_id AND o.item_id = a.item_id AND o.state = 'open' OFFSET 0) o
    WHERE s.lease_token = a.token AND s.lease_until > clock_timestamp()
      AND i.id = o.id AND {unindexed("i.state")} = 'open'
""",
)
_INTENDED = "organization_id text, id uuid, link_id uuid, item_id uuid, kind text, fields text, token uuid"
INTEND = Statement(
    "intend",
    f"""
    INSERT INTO gateway.delivery_intents (organization_id, id, link_id, item_id, kind, fields, state)
    SELECT a.organization_id, a.id, a.link_id, a.item_id, a.kind, decode(a.fields, 'base64'), 'open'
    FROM {asked_rows(_INTENDED)} AS a
    JOIN gateway.shadow_items s ON s.link_id = a.link_id AND s.item_id = a.item_id
    WHERE s.lease_token = a.token AND s.lease_until > clock_timestamp()
    RETURNING id
""",
)

_SAVED = """
    organization_id text, wedding_id uuid, link_id uuid, item_id uuid, token uuid, saves boolean, expected
    bigint, kind text, record_id text, version text, generation bigint, gone boolean, fields text, intents
    uuid[]
"""


def saved(more: str) -> str:
    """Return the beginning of what ends the work on records: `more` are columns of the caller's own.

    Shadows are written by compare-and-set on lease and generation, intents are confirmed, records released.
    Whoever moved on meanwhile is not in `done`, and nothing of theirs is written.
    """
    return f"""
        asked AS MATERIALIZED (
            SELECT * FROM {asked_rows(f"{_SAVED}, {more}")} AS r
        ), mine AS MATERIALIZED (
            SELECT s.link_id, s.item_id FROM gateway.shadow_items s JOIN asked a USING (link_id, item_id)
            WHERE s.lease_token = a.token ORDER BY s.link_id, s.item_id FOR UPDATE OF s
        ), saved AS (
            UPDATE gateway.shadow_items s
            SET kind = CASE WHEN a.saves THEN a.kind ELSE s.kind END,
                record_id = CASE WHEN a.saves THEN a.record_id ELSE s.record_id END,
                version = CASE WHEN a.saves THEN a.version ELSE s.version END,
                generation = CASE WHEN a.saves THEN a.generation ELSE s.generation END,
                gone = CASE WHEN a.saves THEN a.gone ELSE s.gone END,
                fields = CASE WHEN a.saves THEN decode(a.fields, 'base64') ELSE s.fields END,
                updated_at = CASE WHEN a.saves THEN clock_timestamp() ELSE s.updated_at END,
                lease_token = NULL, lease_until = '-infinity'
            FROM mine m JOIN asked a USING (link_id, item_id)
            WHERE s.link_id = m.link_id AND s.item_id = m.item_id AND s.lease_token = a.token
              AND (NOT a.saves OR s.generation = a.expected)
            RETURNING s.link_id, s.item_id
        ), done AS (
            SELECT a.* FROM asked a LEFT JOIN saved s USING (link_id, item_id)
            WHERE NOT a.saves OR s.link_id IS NOT NULL
        ), confirmed AS (
            UPDATE gateway.delivery_intents i SET state = 'confirmed', closed_at = clock_timestamp()
            WHERE i.id = ANY(ARRAY(SELECT unnest(intents) FROM done))
        )"""
