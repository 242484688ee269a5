"""Signatures of webhooks, as OpenAI makes them: standard-webhooks, https://www.standardwebhooks.com, version 1.

A receiver checks them with ``client.webhooks.unwrap(body, headers, secret=...)`` of OpenAI's SDK.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """A fresh secret: ``whsec_`` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")


def signed_headers(secret: str, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that prove where ``body`` comes from and when it was sent.

    Args:
        secret: As `new_secret` made it.
        event_id: The same each time the event is sent.
        timestamp: Unix seconds of this sending; receivers refuse old ones.
        body: The exact bytes that are sent.
    """
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode('ascii')}",
    }
