"""Was anything lost, or done twice? Asked of the log itself."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from tests.bench.load import Tally
from tests.bench.site import Site

_SEEN = "SELECT change_id::text, count(*) FROM sync.changes WHERE change_id = ANY(%s::uuid[]) GROUP BY 1"
_GAPS = """
SELECT count(*) FROM sync.weddings w
JOIN (SELECT wedding_id, count(*) AS entries, max(sequence) AS last FROM sync.changes GROUP BY wedding_id) c
  USING (wedding_id)
WHERE w.wedding_id = ANY(%s::uuid[]) AND (c.entries <> c.last OR w.sequence <> c.last)
"""


class NotExact(AssertionError):
    """The log and what was answered disagree."""


def exactly_once(site: Site, tally: Tally, wedding_ids: Iterable[str]) -> None:
    """Return if every acknowledged change is in the log once, no other twice, and no log has a gap."""
    with psycopg.connect(site.database.admin_url) as admin:
        found: dict[str, int] = dict(admin.execute(_SEEN, (list(tally.sent),)).fetchall())
    gaps = site.ask(_GAPS, list(wedding_ids))
    lost = [change_id for change_id in tally.acknowledged if change_id not in found]
    doubled = [change_id for change_id, times in found.items() if times > 1]
    if lost or doubled or gaps:
        raise NotExact(f"{len(lost)} lost, {len(doubled)} doubled, {gaps} logs with gaps")
