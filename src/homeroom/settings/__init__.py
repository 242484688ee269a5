"""Configuration: one frozen `Settings` value, read from file, environment and flags, in that order of weight."""

from homeroom.settings.load import load_settings
from homeroom.settings.model import Endpoint, Settings
from homeroom.settings.reference import SETTINGS_REFERENCE, Setting

__all__ = ["SETTINGS_REFERENCE", "Endpoint", "Setting", "Settings", "load_settings"]
