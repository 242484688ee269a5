"""Job kinds and what runs them. Handlers are imported in the job's own process only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from homeroom.schema.jobs import Handler, JobContext

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

# Kind -> module with `handle(context, home) -> result`.
KINDS: Mapping[str, str] = {
    "tune": "homeroom.app.tune_job",
    "evaluate": "homeroom.app.evaluate_job",
    "compare": "homeroom.app.compare_job",
    "probe": "homeroom.app.probe_job",
    "sweep": "homeroom.app.sweep_job",
    "batch": "homeroom.app.batch_job",
    "export": "homeroom.app.export_job",
    "tidy": "homeroom.app.tidy_job",
}


def handlers(home: Homeroom) -> dict[str, Handler]:
    """Every kind bound to ``home``."""

    def bind(module: str) -> Handler:
        def handler(context: JobContext) -> Mapping[str, Any]:  # results are the handlers' own JSON
            handle: Callable[[JobContext, Homeroom], Mapping[str, Any]] = import_module(module).handle
            return handle(context, home)

        return handler

    return {kind: bind(module) for kind, module in KINDS.items()}
