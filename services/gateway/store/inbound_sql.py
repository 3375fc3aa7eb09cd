"""What the inbound store says to the database."""

from __future__ import annotations

from sqlalchemy import text

from services.gateway.store.deliveries_sql import CORRECT, CORRECTION
from services.gateway.store.leases_sql import saved
from services.gateway.store.sql import CLAIM_SECONDS, asked_rows, one_of, unindexed
from wedsync.runtime.round_trip import Statement

ACCOUNTS_IN_TURN = 16
"""Of so many accounts at most webhooks are claimed at once."""
_FIRST, _LAST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
_ARRIVED = """
    place int, id uuid, organization_id text, integration_id uuid, vendor text, origin text, delivery_key
    text, body text, state text, reason text, trace_parent text, detected_at timestamptz, event_name text,
    wakes uuid[], cause text, link_id uuid, record_id text, parent_id uuid, taken boolean
"""
# A delivery that comes twice in one batch is kept once, like one that is known.
ACCEPT = Statement(
    "accept_webhooks",
    f"""
    WITH asked AS MATERIALIZED (
        SELECT * FROM {asked_rows(_ARRIVED)} AS r
    ), firsts AS (
        SELECT DISTINCT ON (integration_id, delivery_key) organization_id, integration_id, delivery_key, id,
               count(*) OVER (PARTITION BY integration_id, delivery_key) - 1 AS repeats
        FROM asked WHERE delivery_key IS NOT NULL ORDER BY integration_id, delivery_key, place
    ), keys AS (
        INSERT INTO gateway.delivery_keys AS k
            (organization_id, integration_id, key, webhook_id, repeats, last_repeat_at)
        SELECT organization_id, integration_id, delivery_key, id, repeats,
               CASE WHEN repeats > 0 THEN clock_timestamp() END
        FROM firsts ORDER BY integration_id, delivery_key
        ON CONFLICT (integration_id, key)
        DO UPDATE SET repeats = k.repeats + excluded.repeats + 1, last_repeat_at = clock_timestamp()
        RETURNING integration_id, key, webhook_id
    ), known AS (
        SELECT a.*, CASE WHEN a.delivery_key IS NULL THEN a.id ELSE k.webhook_id END AS known_as
        FROM asked a LEFT JOIN keys k ON k.integration_id = a.integration_id AND k.key = a.delivery_key
    ), kept AS (
        INSERT INTO gateway.webhook_log
            (id, accepted_at, organization_id, integration_id, vendor, origin, delivery_key, body, state,
             reason, trace_parent, detected_at, event_name, wakes, cause, link_id, record_id, parent_id,
             attempts, lease_until)
        SELECT id, clock_timestamp(), organization_id, integration_id, vendor, origin, delivery_key,
               decode(body, 'base64'), state, reason, trace_parent, detected_at, event_name, wakes, cause,
               link_id, record_id, parent_id, CASE WHEN taken THEN 1 ELSE 0 END,
               CASE WHEN taken THEN clock_timestamp() + make_interval(secs => {CLAIM_SECONDS})
                    ELSE '-infinity' END
        FROM known WHERE known_as = id ORDER BY place
        RETURNING id, accepted_at
    )
    SELECT known_as, accepted_at FROM known LEFT JOIN kept USING (id) ORDER BY place
""",
)
IS_PENDING = f"{unindexed('v.state')} = 'pending'"
_OF_CHANGES = f"""
    change_id uuid, webhook_id uuid, change text, trace_parent text, detected_at timestamptz,
    backfill boolean, deletes boolean, hurries boolean, taken boolean, ends boolean, why_nothing text,
    {CORRECTION}
"""
# A record that waits already will be read then, and one that is parked for the same reason is known; one
# that is just being read may have been read too early.
SET_APART = text("""
    INSERT INTO gateway.webhook_log
        (id, accepted_at, organization_id, integration_id, vendor, origin, body, state, reason, trace_parent,
         detected_at, cause, link_id, record_id, parent_id, attempts, not_before)
    SELECT CAST(:id AS uuid), clock_timestamp(), :organization_id, CAST(:integration_id AS uuid), :vendor,
           :origin, CAST(:body AS bytea), :state, :reason, :trace_parent, CAST(:detected_at AS timestamptz),
           :cause, CAST(:link_id AS uuid), :record_id, CAST(:parent_id AS uuid), 1,
           clock_timestamp() + make_interval(secs => :wait_seconds)
    WHERE NOT EXISTS (
        SELECT 1 FROM gateway.webhook_log
        WHERE link_id = CAST(:link_id AS uuid) AND record_id = :record_id
          AND ((state = 'received' AND lease_until < clock_timestamp())
               OR (state = 'parked' AND reason = :reason)))
""")
_WAITING = "state = 'received' AND not_before <= clock_timestamp() AND lease_until < clock_timestamp()"
_NEXT = f"""
    SELECT integration_id, vendor FROM gateway.webhook_log
    WHERE {_WAITING} AND integration_id > {{last}} AND integration_id <= {{end}}
    ORDER BY integration_id LIMIT 1
"""


def _in_turn(name: str, first: str, end: str) -> str:
    """Return a part of a WITH RECURSIVE: the accounts of which something waits, in the order of their ids.

    Each is found by one look-up behind the one before, however much waits of either: a "loose index scan",
    see https://wiki.postgresql.org/wiki/Loose_indexscan.
    """
    return f"""
        {name} AS (
            ({_NEXT.format(last=first, end=end)})
            UNION ALL
            SELECT n.* FROM {name} a
            CROSS JOIN LATERAL ({_NEXT.format(last="a.integration_id", end=end)}) n)"""


# Whoever sends much has as much of it read as everybody else who waits, and not before them.
CLAIM = Statement(
    "claim_webhooks",
    f"""
    WITH RECURSIVE {_in_turn("later", "%(served)s::uuid", f"'{_LAST}'::uuid")},
    {_in_turn("sooner", f"'{_FIRST}'::uuid", "%(served)s::uuid")},
    accounts AS MATERIALIZED (
        SELECT row_number() OVER () AS turn, a.* FROM (
            SELECT * FROM (SELECT * FROM later UNION ALL SELECT * FROM sooner) waiting
            WHERE integration_id <> ALL(%(integrations)s::uuid[]) AND vendor <> ALL(%(vendors)s::text[])
            LIMIT {ACCOUNTS_IN_TURN}) a
    ), share AS MATERIALIZED (
        SELECT greatest(1, %(limit)s::int / nullif(count(*), 0)) AS most, count(*) AS accounts FROM accounts
    ), due AS MATERIALIZED (
        SELECT a.turn, w.*, count(*) OVER (PARTITION BY a.turn) AS found FROM accounts a CROSS JOIN LATERAL (
            SELECT id, accepted_at FROM gateway.webhook_log
            WHERE {_WAITING} AND integration_id = a.integration_id
            ORDER BY accepted_at LIMIT (SELECT most FROM share) FOR UPDATE SKIP LOCKED) w
        LIMIT %(limit)s::int)
    UPDATE gateway.webhook_log w
    SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s), attempts = attempts + 1
    FROM due WHERE w.id = due.id AND w.accepted_at = due.accepted_at AND {one_of("w.id", "id", "due")}
    RETURNING w.id, w.accepted_at, w.organization_id, w.integration_id, due.turn,
              due.found >= (SELECT most FROM share)
              OR (SELECT accounts FROM share) = {ACCOUNTS_IN_TURN} AS more
""",
)
LOAD = Statement(
    "load_webhooks",
    """
    SELECT id, accepted_at, organization_id, integration_id, vendor, body, attempts, trace_parent, wakes,
           link_id, record_id, parent_id
    FROM gateway.webhook_log WHERE id = ANY(%(ids)s::uuid[]) AND accepted_at >= %(since)s ORDER BY accepted_at
""",
)
_ENDED = "id uuid, accepted_at timestamptz, state text, reason text, cause text"
FINISH = Statement(
    "finish_webhooks",
    f"""
    WITH asked AS MATERIALIZED (
        SELECT * FROM {asked_rows(_ENDED)} AS r)
    UPDATE gateway.webhook_log w
    SET state = a.state, reason = a.reason, cause = a.cause, translated_at = clock_timestamp(),
        lease_until = '-infinity'
    FROM asked a WHERE w.id = a.id AND w.accepted_at = a.accepted_at AND {one_of("w.id", "id", "asked")}
""",
)
POSTPONE = text("""
    UPDATE gateway.webhook_log
    SET reason = :reason, cause = :cause, lease_until = '-infinity', attempts = attempts - :untried,
        not_before = clock_timestamp() + make_interval(secs => :seconds)
    WHERE id = :id AND accepted_at = :accepted_at
""")
# Changes of a record go in order: what waits before an edit of now is in nobody's way, and goes with it.
COMMIT = Statement(
    "commit_observations",
    f"""
    WITH {saved(_OF_CHANGES)}, hurried AS (
        UPDATE gateway.vendor_activities v SET backfill = false
        FROM done d CROSS JOIN LATERAL (
            SELECT p.id FROM gateway.vendor_activities p
            WHERE p.link_id = d.link_id AND p.item_id = d.item_id AND p.state = 'pending' AND p.backfill
            OFFSET 0) w
        WHERE d.hurries AND v.id = w.id AND v.backfill AND {IS_PENDING}
    ), kept AS (
        INSERT INTO gateway.vendor_activities
            (id, organization_id, wedding_id, link_id, item_id, record_id, generation, webhook_id, change,
             state, trace_parent, detected_at, backfill, deletes, attempts, lease_until)
        SELECT change_id, organization_id, wedding_id, link_id, item_id, record_id, generation, webhook_id,
               decode(change, 'base64'), 'pending', trace_parent, detected_at, backfill, deletes,
               CASE WHEN taken THEN 1 ELSE 0 END,
               CASE WHEN taken THEN clock_timestamp() + make_interval(secs => {CLAIM_SECONDS})
                    ELSE '-infinity' END
        FROM done WHERE change_id IS NOT NULL
    ), ended AS (
        UPDATE gateway.webhook_log w
        SET state = 'processed', reason = d.why_nothing, cause = '', translated_at = clock_timestamp(),
            lease_until = '-infinity'
        FROM done d
        WHERE d.ends AND w.id = d.webhook_id AND w.accepted_at = d.detected_at
          AND {one_of("w.id", "webhook_id", "done")}
    ), corrected AS (
        {CORRECT} FROM done WHERE correction_id IS NOT NULL ON CONFLICT DO NOTHING
    )
    SELECT link_id, item_id FROM done
""",
)
