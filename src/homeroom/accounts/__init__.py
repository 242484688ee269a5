"""Who may call: API keys, what each may do, and the browsers that signed in with one."""

from homeroom.accounts.keys import SCOPES, ApiKey, KeyStore, Scopes
from homeroom.accounts.sign_ins import SignInStore

__all__ = ["SCOPES", "ApiKey", "KeyStore", "Scopes", "SignInStore"]
