"""Which record may be written to as it was last seen, without another reading? Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.deliver.plan import Rest, Write
from services.gateway.records import Intent, IntentKind, Shadow
from services.gateway.vendors.port import VendorRecord
from services.gateway.vendors.versions import Versions
from wedsync.model.items import LIFE


def last_seen(
    shadow: Shadow, intents: Sequence[Intent], write: Write | Rest, versions: Versions
) -> VendorRecord | None:
    """Return the record as it was last seen, None where it must be read first.

    Its version guards it: a write over what moved since is refused. After a write whose outcome is not
    known it is read all the same, to tell our own doing from other people's; and so is one of which we do
    not know what the write would replace.
    """
    if isinstance(write, Rest) or not versions.guard_writes or intents:
        return None
    if shadow.record_id is None or not shadow.present or not shadow.version:
        return None
    shown = {path: each.value for path, each in shadow.fields.items() if path != LIFE}
    replaced = set() if write.kind is IntentKind.DELETE else write.values.keys()
    if not shown or not replaced <= shown.keys():
        return None
    return VendorRecord(record_id=shadow.record_id, kind=shadow.kind, version=shadow.version, fields=shown)
