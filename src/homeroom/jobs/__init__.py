"""Durable background work: a job table with leases, a worker, and what runs in a job's own process."""

from homeroom.jobs.clock import Clock, ManualClock, SystemClock
from homeroom.jobs.execute import execute
from homeroom.jobs.logs import log_path
from homeroom.jobs.store import JobStore, LeaseLost
from homeroom.jobs.worker import Worker

__all__ = ["Clock", "JobStore", "LeaseLost", "ManualClock", "SystemClock", "Worker", "execute", "log_path"]
