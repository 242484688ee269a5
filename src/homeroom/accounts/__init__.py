"""Who may call: API keys and what each may do."""

from homeroom.accounts.keys import SCOPES, ApiKey, KeyStore, Scopes

__all__ = ["SCOPES", "ApiKey", "KeyStore", "Scopes"]
