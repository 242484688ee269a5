"""What is known of a compared system besides its replies: time and money of its tuning, memory, and where its text goes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from homeroom.app.compare_answers import place_of
from homeroom.app.compare_twins import work_of
from homeroom.app.endpoints import endpoint_of
from homeroom.app.engines import memory_need
from homeroom.app.metering import leaves_this_machine
from homeroom.app.own_weights import own_files
from homeroom.errors import NotFoundError
from homeroom.evaluation.comparison import Facts
from homeroom.evaluation.recommendation import THIS_SERVER
from homeroom.schema.models import TunedModel
from homeroom.settings import Endpoint

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

HERE = "this machine"
EASE = {"prompt": 0, "lora": 1, "full": 2, "remote": 3}
"""How easily a kind of model is taken back: what is equally good is advised in this order."""


def facts_of(home: Homeroom, label: str, base: str, model: TunedModel | None, replies_usd: float | None) -> Facts:
    """The facts of a tuned model, or of the base (None)."""
    where, leaves = text_goes(home, base, model)
    serve = _serve_bytes(home, base, model)
    if model is None:
        return Facts(label, model=base, base=base, replies_usd=replies_usd, serve_bytes=serve, text_goes=where, leaves=leaves)
    usd, unpriced = _tuning_cost(home, model)
    peak = model.metrics.get("peak_gpu_memory_bytes") or model.metrics.get("peak_memory_bytes")
    return Facts(
        label,
        model.method,
        model.name,
        model.base,
        _tune_s(home, model),
        usd,
        replies_usd,
        unpriced,
        int(peak) if isinstance(peak, int | float) and peak else None,
        serve,
        where,
        leaves,
        ease_of(home, model),
        work_of(home, model),
    )


def ease_of(home: Homeroom, model: TunedModel) -> int:
    """How easily a model is taken back, the easiest first: by its kind, and of one kind what stays on this machine."""
    return 2 * EASE[model.kind] + text_goes(home, model.base, model)[1]


def label_of(home: Homeroom, model: TunedModel) -> str:
    """Its method; of one that an API in the style of OpenAI's tuned on this machine, that it was."""
    if model.method == "openai" and not text_goes(home, model.base, model)[1]:
        return THIS_SERVER
    return model.method


def text_goes(home: Homeroom, base: str, model: TunedModel | None) -> tuple[str, bool]:
    """Where examples and questions go, and whether that is another machine."""
    names = [name for kind, name in [place_of(home, base, model)] if kind == "endpoint"]
    if model is not None:
        names += [model.remote_id, *(str(model.recipe.get(key) or "") for key in ("base", "prompt_model", "teacher_model"))]
    return hosts_of(home, names)


def hosts_of(home: Homeroom, names: Iterable[str]) -> tuple[str, bool]:
    """Where the text goes that models are sent (``ENDPOINT/MODEL``, or ones here), and whether that is another machine."""
    found: dict[str, Endpoint] = {e.name: e for name in names if (e := endpoint_of(home.settings, name)) is not None}
    away = [e for e in found.values() if leaves_this_machine(e)]
    if away:
        return ", ".join(sorted(urlsplit(e.base_url).hostname or e.name for e in away)), True
    near = ", ".join(sorted(e.name for e in found.values()))
    return (f"{HERE} ({near})" if near else HERE), False


def _tune_s(home: Homeroom, model: TunedModel) -> float | None:
    seconds = model.metrics.get("seconds_before") or model.metrics.get("seconds")
    if isinstance(seconds, int | float) and seconds:
        return float(seconds)
    try:
        job = home.jobs.get(model.job_id)
    except NotFoundError:
        return None
    if job.started_at is None or job.finished_at is None:
        return None
    return job.finished_at - job.started_at


def _tuning_cost(home: Homeroom, model: TunedModel) -> tuple[float | None, int]:
    """US dollars that the ledger counted for its job, and calls without a price; None for a model that was not tuned here."""
    if not model.job_id:
        return None, 0
    totals = home.ledger.totals((), job=model.job_id)
    return sum(t.usd + t.held_usd for t in totals), sum(t.unpriced for t in totals)


def _serve_bytes(home: Homeroom, base: str, model: TunedModel | None) -> int | None:
    """Memory that answering takes here, from above: the base with its conversations, and the model's own adapter."""
    kind, name = place_of(home, base, model)
    if kind == "endpoint":
        return None
    need = memory_need(home, own_files(home, model) if kind == "own" and model is not None else home.base_files(name))
    file = home.artifacts.path(model.artifact) / "adapter.gguf" if model is not None and model.artifact else None
    return need.total - need.adapters + (file.stat().st_size if file is not None and file.is_file() else 0)
