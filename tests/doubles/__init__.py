"""Servers that behave like the real ones, faults included, on loopback."""
