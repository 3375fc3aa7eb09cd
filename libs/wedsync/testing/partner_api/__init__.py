"""A lean, strict simulator of a partner's system that speaks the Partner API (docs/partner_api.md)."""

from wedsync.testing.partner_api.collection import Collection
from wedsync.testing.partner_api.running import running
from wedsync.testing.partner_api.sandbox import COLLECTION, TOKEN, WEBHOOK_SECRET, Sandbox

__all__ = ["COLLECTION", "TOKEN", "WEBHOOK_SECRET", "Collection", "Sandbox", "running"]
