"""How webhooks are signed by the convention of https://www.standardwebhooks.com. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac

PREFIX = "whsec_"


def signed(secret: str, message_id: str, body: bytes, *, at: int) -> dict[str, str]:
    """Return the headers that prove a body; `at` is the time in whole seconds."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.digest(key, b"%b.%d.%b" % (message_id.encode(), at, body), hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
