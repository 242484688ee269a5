"""Child processes that never outlive their parent, and facts about the machine. Standard library only."""

from homeroom.runtime.hardware import Hardware, hardware
from homeroom.runtime.ports import free_port
from homeroom.runtime.processes import Child, spawn

__all__ = ["Child", "Hardware", "free_port", "hardware", "spawn"]
