"""How Slack signs what it posts to an app. Pure."""

from __future__ import annotations

import hashlib
import hmac


def signed(secret: str, body: bytes, *, at: int) -> dict[str, str]:
    """Return the headers that prove a body; `at` is the time in whole seconds."""
    digest = hmac.new(secret.encode(), b"v0:%d:%s" % (at, body), hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": f"v0={digest}"}
