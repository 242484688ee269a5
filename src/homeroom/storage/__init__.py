"""What is kept: rows in one database, large things in an artifact store, and the lock of a home."""

from homeroom.storage.artifacts import Artifact, ArtifactStore, Draft
from homeroom.storage.database import Database
from homeroom.storage.lock import HomeLock, LockHolder
from homeroom.storage.scope import LOCAL, Scope

__all__ = ["LOCAL", "Artifact", "ArtifactStore", "Database", "Draft", "HomeLock", "LockHolder", "Scope"]
