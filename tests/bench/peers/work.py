"""What every peer does with one webhook, whoever hands it out."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from wedsync.testing.load.plan import signature

_TOLERANCE_SECONDS = 300

SCHEMA = """
CREATE TABLE weddings (wedding_id text PRIMARY KEY, sequence bigint NOT NULL);
CREATE TABLE records (
  wedding_id text, record_id text, version bigint NOT NULL, told bigint NOT NULL, fields jsonb NOT NULL,
  PRIMARY KEY (wedding_id, record_id));
CREATE TABLE changes (
  wedding_id text, sequence bigint, webhook_id text NOT NULL UNIQUE, body jsonb NOT NULL,
  committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (wedding_id, sequence));
"""

COMMIT = """
WITH moved AS (
  INSERT INTO weddings AS w (wedding_id, sequence)
  SELECT %(wedding)s, 1 WHERE NOT EXISTS (SELECT FROM changes WHERE webhook_id = %(webhook)s)
  ON CONFLICT (wedding_id) DO UPDATE SET sequence = w.sequence + 1
  RETURNING sequence),
logged AS (
  INSERT INTO changes (wedding_id, sequence, webhook_id, body)
  SELECT %(wedding)s, sequence, %(webhook)s, %(fields)s::jsonb FROM moved)
INSERT INTO records AS r (wedding_id, record_id, version, told, fields)
SELECT %(wedding)s, %(record)s, %(version)s, 1, %(fields)s::jsonb FROM moved
ON CONFLICT (wedding_id, record_id) DO UPDATE
  SET version = EXCLUDED.version, told = r.told + 1, fields = EXCLUDED.fields
  WHERE r.version < EXCLUDED.version
RETURNING told
"""
"""One round trip: next sequence, log and state; nothing for a webhook that is logged already.

`told` counts the writes to the other vendor, whose versions rise by one for each: so no answer of its need
be kept to make the next write conditional. Where they do not agree the record is read.
"""


@dataclass(frozen=True)
class Edit:
    """What a webhook says: a record as it is now."""

    webhook_id: str
    wedding_id: str
    record_id: str
    version: int
    fields: Mapping[str, Any]

    def parameters(self) -> dict[str, Any]:
        """Return what `COMMIT` takes."""
        return {
            "webhook": self.webhook_id,
            "wedding": self.wedding_id,
            "record": self.record_id,
            "version": self.version,
            "fields": orjson.dumps(self.fields).decode(),
        }


def read(webhook_id: str, body: bytes | str) -> Edit:
    """Read a webhook that is believed."""
    event = orjson.loads(body)
    record = event["record"]
    return Edit(webhook_id, event["collection"], record["id"], record["version"], record["fields"])


def believed(secret: bytes, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Say whether the sender holds the secret and sent it within five minutes."""
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(now - int(timestamp)) > _TOLERANCE_SECONDS:
        return False
    right = signature(secret, headers.get("webhook-id", ""), timestamp, body)
    return hmac.compare_digest(right, headers.get("webhook-signature", ""))
