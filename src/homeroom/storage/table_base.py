"""What all tables share: the declarative base, the columns of every row that a person can see, ids, checks."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Double, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# JSON values belong to the layer that writes them, so `Any` is what they are.
Json = dict[str, Any]
JSON_OR_NULL = JSON(none_as_null=True)


def new_id(prefix: str) -> str:
    """A fresh random id, e.g. ``job-3f0a91c2d4e5``."""
    return f"{prefix}-{secrets.token_hex(6)}"


class Base(DeclarativeBase):
    """What all tables share: names of constraints (so that migrations can name them) and column types."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {float: Double(), str: Text(), Json: JSON()}  # noqa: RUF012 - read by SQLAlchemy, never changed


def one_of(column: str, *values: str) -> CheckConstraint:
    """A check that ``column`` holds one of ``values``."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class Owned:
    """Columns of every row that a person can see."""

    workspace_id: Mapped[str] = mapped_column(String(64), default="local")
    owner_id: Mapped[str] = mapped_column(String(64), default="local")
