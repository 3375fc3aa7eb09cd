"""The instants of an edit's way through the gateway at which a test may end the process."""

from __future__ import annotations

WEBHOOK_STORED = "webhook-stored"
"""It is committed, and the vendor has no answer yet."""
CHANGE_STORED = "change-stored"
"""A vendor's edit was translated and committed; it has not been sent."""
CHANGE_ANSWERED = "change-answered"
"""The sync service has answered a change; what it said is not stored."""
COMMITS_STORED = "commits-stored"
"""Commits were taken over; the sync service has no answer yet."""
INTENT_STORED = "intent-stored"
"""What is to be written is committed; the vendor has not been called."""
VENDOR_ANSWERED = "vendor-answered"
"""The vendor has carried a write out; what it said is not stored."""
