"""Tuned models: what exists, where it came from, how it was judged, and which one answers."""

from homeroom.registry.models import ModelRegistry
from homeroom.registry.names import new_model_name
from homeroom.registry.records import Route, ScorecardRecord

__all__ = ["ModelRegistry", "Route", "ScorecardRecord", "new_model_name"]
