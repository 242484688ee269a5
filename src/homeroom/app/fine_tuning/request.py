"""A request for a fine-tuning job, checked field by field.

Source: "Create fine-tuning job" of the API reference. What this server cannot do is refused with the field's name.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from homeroom.app.fine_tuning.errors import FieldError, short

Json = Mapping[str, Any]  # of a client: every value is checked here
Method = Literal["supervised", "dpo"]
Auto = Literal["auto"]

MAX_SUFFIX, MAX_PAIRS, MAX_KEY, MAX_VALUE, MAX_INTEGRATIONS = 64, 16, 64, 512, 5
MAX_SEED = 2**31 - 1
_KNOWN = frozenset(
    {
        "model", "training_file", "validation_file", "suffix", "seed", "method", "hyperparameters", "metadata",
        "integrations",
    }
)  # fmt: skip
_WANDB = frozenset({"project", "name", "entity", "tags"})
_WHOLE = {"n_epochs": (1, 50), "batch_size": (1, 256)}


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What was asked for. A hyperparameter that is absent or ``auto`` is left to the server.

    Attributes:
        hyperparameters: ``n_epochs``, ``batch_size``, ``learning_rate_multiplier``, for ``dpo`` also ``beta``: those given.
        integrations: As they came: recorded, and sent nowhere.
        given_in: The field of the request that holds the hyperparameters, for what is said of them. Not kept.
    """

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: str | None = None
    seed: int | None = None
    method: Method = "supervised"
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, str] | None = None
    integrations: tuple[Json, ...] | None = None
    given_in: str = "hyperparameters"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: what is kept, and what two requests with one idempotency key must share."""
        return {
            "model": self.model,
            "training_file": self.training_file,
            "validation_file": self.validation_file,
            "suffix": self.suffix,
            "seed": self.seed,
            "method": self.method,
            "hyperparameters": dict(self.hyperparameters),
            "metadata": None if self.metadata is None else dict(self.metadata),
            "integrations": None if self.integrations is None else [dict(entry) for entry in self.integrations],
        }


def parse_request(body: Json) -> JobRequest:
    """Check a request.

    Raises:
        FieldError: the first thing that is wrong, with ``param`` naming the field.
    """
    for name in body:
        if name not in _KNOWN:
            raise FieldError(f"Unrecognized request argument supplied: {name[:80]}", param=name[:80], code="unknown-parameter")
    method, given, where = _method(body)
    suffix = _text(body, "suffix", required=False)
    if suffix is not None and not 1 <= len(suffix) <= MAX_SUFFIX:
        raise FieldError(f"'suffix' has {len(suffix)} characters; 1 to {MAX_SUFFIX} are allowed", param="suffix")
    return JobRequest(
        model=_text(body, "model") or "",
        training_file=_text(body, "training_file") or "",
        validation_file=_text(body, "validation_file", required=False),
        suffix=suffix,
        seed=None if body.get("seed") is None else _whole(body["seed"], "seed", 0, MAX_SEED),
        method=method,
        hyperparameters=_hyperparameters(given, where, method),
        metadata=_metadata(body.get("metadata")),
        integrations=_integrations(body.get("integrations")),
        given_in=where,
    )


def _method(body: Json) -> tuple[Method, Json, str]:
    """The method, its hyperparameters, and the field that they stand in."""
    old = _object(body.get("hyperparameters"), "hyperparameters")
    wanted = body.get("method")
    if wanted is None:
        return "supervised", old, "hyperparameters"
    record = _object(wanted, "method")
    kind = record.get("type")
    if kind == "reinforcement":
        raise FieldError(
            "'method.type' 'reinforcement' is not supported here; use 'supervised' or 'dpo'", param="method.type",
            code="unsupported-method",
        )  # fmt: skip
    if kind not in ("supervised", "dpo"):
        raise FieldError(f"'method.type' must be 'supervised' or 'dpo', not {short(kind)}", param="method.type")
    for name in record:
        if name not in ("type", kind):
            raise FieldError(f"'method.{name[:40]}' does not belong to the method {kind!r}", param=f"method.{name[:40]}")
    own = _object(record.get(kind), f"method.{kind}")
    for name in own:
        if name != "hyperparameters":
            raise FieldError(
                f"Unrecognized request argument supplied: method.{kind}.{name[:40]}", param=f"method.{kind}.{name[:40]}"
            )
    where = f"method.{kind}.hyperparameters"
    given = _object(own.get("hyperparameters"), where)
    if given and old:
        raise FieldError("Give the hyperparameters in 'method' only, not in 'hyperparameters' as well", param="hyperparameters")
    return ("dpo" if kind == "dpo" else "supervised"), given or old, where if given else "hyperparameters"


def _hyperparameters(given: Json, where: str, method: Method) -> dict[str, float]:
    known = ("n_epochs", "batch_size", "learning_rate_multiplier", *(("beta",) if method == "dpo" else ()))
    found: dict[str, float] = {}
    for name, value in given.items():
        param = f"{where}.{name[:40]}"
        if name not in known:
            raise FieldError(f"{name[:40]!r} is no hyperparameter of {method!r}; known are {', '.join(known)}", param=param)
        if value is None or value == "auto":
            continue
        if name in _WHOLE:
            found[name] = _whole(value, param, *_WHOLE[name])
        else:
            found[name] = _positive(value, param, 2.0 if name == "beta" else sys.float_info.max)
    return found


def _metadata(value: object) -> dict[str, str] | None:
    if value is None:
        return None
    record = _object(value, "metadata")
    if len(record) > MAX_PAIRS:
        raise FieldError(f"'metadata' has {len(record)} pairs; up to {MAX_PAIRS} are allowed", param="metadata")
    for key, text in record.items():
        if len(key) > MAX_KEY or not isinstance(text, str) or len(text) > MAX_VALUE:
            raise FieldError(
                f"'metadata' takes keys of up to {MAX_KEY} characters and texts of up to {MAX_VALUE}; "
                f"{key[:80]!r} is {short(text)}",
                param=f"metadata.{key[:80]}",
            )
    return dict(record)


def _integrations(value: object) -> tuple[Json, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_INTEGRATIONS:
        raise FieldError(f"'integrations' must be a list of up to {MAX_INTEGRATIONS}, not {short(value)}", param="integrations")
    for index, entry in enumerate(value):
        where = f"integrations[{index}]"
        record = _object(entry, where)
        settings = record.get("wandb")
        if record.get("type") != "wandb" or not isinstance(settings, dict) or not isinstance(settings.get("project"), str):
            raise FieldError(f"'{where}' must be of type 'wandb' with a 'wandb.project'", param=where)
        _only(record, ("type", "wandb"), where)
        _only(settings, _WANDB, f"{where}.wandb")
        for name in ("name", "entity"):
            if settings.get(name) is not None and not isinstance(settings[name], str):
                raise FieldError(f"'{where}.wandb.{name}' must be a text", param=f"{where}.wandb.{name}")
        tags = settings.get("tags")
        if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
            raise FieldError(f"'{where}.wandb.tags' must be a list of texts", param=f"{where}.wandb.tags")
    return tuple({"type": "wandb", "wandb": {k: v for k, v in entry["wandb"].items() if v is not None}} for entry in value)


def _only(record: Json, known: Collection[str], where: str) -> None:
    for name in record:
        if name not in known:
            param = f"{where}.{name[:40]}"
            raise FieldError(f"Unrecognized request argument supplied: {param}", param=param, code="unknown-parameter")


def _object(value: object, where: str) -> Json:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FieldError(f"'{where}' must be an object, not {short(value)}", param=where)
    return value


def _text(body: Json, name: str, *, required: bool = True) -> str | None:
    value = body.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or (required and not value):
        raise FieldError(f"you must provide {name!r} as a text, not {short(value)}", param=name)
    return value


def _whole(value: object, name: str, low: int, high: int) -> int:
    """A whole number within bounds; 3.0 is one, NaN and Infinity are none."""
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_whole or not low <= value <= high:
        raise FieldError(f"{name!r} must be 'auto' or a whole number from {low} to {high}, not {short(value)}", param=name)
    return int(value)


def _positive(value: object, name: str, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= high:
        upto = "" if high == sys.float_info.max else f" and at most {high:g}"
        raise FieldError(f"{name!r} must be 'auto' or a number above 0{upto}, not {short(value)}", param=name)
    return float(value)
