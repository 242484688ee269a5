"""Child processes that never outlive their parent, and facts about the machine. Standard library only, and our errors."""

from homeroom.runtime.hardware import Hardware, hardware
from homeroom.runtime.ports import check_loopback, free_port
from homeroom.runtime.processes import Child, spawn

__all__ = ["Child", "Hardware", "check_loopback", "free_port", "hardware", "spawn"]
