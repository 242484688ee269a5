"""Renders chat templates, which are programs written by strangers: sandboxed Jinja with limits on time and output."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from homeroom.errors import ConfigError
