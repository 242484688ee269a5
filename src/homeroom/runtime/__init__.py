"""Child processes that never outlive their parent, and facts about the machine. Standard library only, and our errors."""

from homeroom.runtime.hardware import Hardware, hardware
from homeroom.runtime.ports import free_port, is_loopback, url_of
from homeroom.runtime.processes import Child, spawn

__all__ = ["Child", "Hardware", "free_port", "hardware", "is_loopback", "spawn", "url_of"]
