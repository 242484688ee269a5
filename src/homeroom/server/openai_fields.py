"""Fields of a request of OpenAI's API, checked one by one: what is wrong is refused with 400 and the field's name.

Used by every operation that asks a model: `openai_request` (chat), `openai_completions`, `openai_embeddings`, `openai_responses`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from homeroom.server.failures import RequestError

# JSON of a client: every value is checked here.
Json = Mapping[str, Any]

MAX_STOPS = 4
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TIERS = ("auto", "default", "flex", "fast", "priority", "scale")


def check_fields(body: Json, known: Collection[str], off: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse fields that nobody knows, and those that ask for what this server does not do.

    Args:
        body: The request.
        known: Fields that are read, or checked and left.
        off: Fields that are fine as long as they ask for nothing, with the values that mean so.

    Raises:
        RequestError: ``unknown-parameter``, ``unsupported-parameter``.
    """
    for name, value in body.items():
        if name in off:
            if not any(value == none and isinstance(value, bool) == isinstance(none, bool) for none in off[name]):
                raise unsupported(name, f"{name!r} is not supported here; leave it out (got {short(value)})")
        elif name not in known:
            raise RequestError(f"unrecognized request argument supplied: {name[:80]}", param=name[:80], code="unknown-parameter")


def unsupported(param: str, message: str) -> RequestError:
    """What is raised for what this server, or this model, does not do."""
    return RequestError(message, param=param, code="unsupported-parameter")


def model_name(body: Json) -> str:
    """The field ``model``.

    Raises:
        RequestError: ``missing-model``.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RequestError("you must provide a model parameter", param="model", code="missing-model")
    return model


def boolean(body: Json, name: str, where: str = "") -> bool:
    """A yes or no; false when it is absent or null."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestError(f"'{where}{name}' must be true or false, not {short(value)}", param=f"{where}{name}")
    return bool(value)


def number(value: object, name: str, low: float, high: float) -> float:
    """A number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RequestError(f"{name!r} must be a number from {low:g} to {high:g}, not {short(value)}", param=name)
    return float(value)


def whole(value: object, name: str, low: int, high: int) -> int:
    """A whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RequestError(f"{name!r} must be a whole number from {low} to {high}, not {short(value)}", param=name)
    return value


def optional_whole(body: Json, name: str, low: int, high: int) -> int | None:
    """A whole number within bounds; None when it is absent or null."""
    return None if body.get(name) is None else whole(body[name], name, low, high)


def one_of(value: object, name: str, choices: Collection[str]) -> str:
    """One of the texts that may stand there."""
    if not isinstance(value, str) or value not in choices:
        raise RequestError(f"{name!r} must be one of {', '.join(choices)}, not {short(value)}", param=name)
    return value


def text(value: object, name: str, longest: int = 1_000_000) -> str:
    """A text that is not too long."""
    if not isinstance(value, str) or len(value) > longest:
        raise RequestError(f"{name!r} must be a text of up to {longest:,} characters, not {short(value)}", param=name)
    return value


def label(value: object, name: str) -> str:
    """What functions and schemas are called: letters, digits, ``_`` and ``-``, up to 64."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise RequestError(f"{name!r} must be up to 64 letters, digits, '_' or '-', not {short(value)}", param=name)
    return value


def mapping(value: object, name: str) -> Json:
    """An object."""
    if not isinstance(value, dict):
        raise RequestError(f"{name!r} must be an object, not {short(value)}", param=name)
    return value


def stops(value: object) -> tuple[str, ...]:
    """The field ``stop``: a text, or one to four texts."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_STOPS or not all(isinstance(t, str) and t for t in texts):
        raise RequestError(f"'stop' must be a text or a list of up to {MAX_STOPS} texts, not {short(value)}", param="stop")
    return tuple(texts)


def logit_bias(value: object) -> dict[str, float]:
    """The field ``logit_bias``: token ids of the model that is asked, as texts, to a number from -100 to 100."""
    found = {}
    for token, bias in mapping(value, "logit_bias").items():
        if not token.isascii() or not token.isdigit() or len(token) > 9:
            raise RequestError(f"'logit_bias' names token ids, not {short(token)}", param="logit_bias")
        found[token] = number(bias, "logit_bias", -100, 100)
    if len(found) > 1024:
        raise RequestError(f"'logit_bias' has {len(found)} entries; 1024 is the limit", param="logit_bias")
    return found


def sampling(body: Json) -> dict[str, Any]:
    """Generation settings that chats and completions share, of those that the request names."""
    found: dict[str, Any] = {}
    for name, low, high in (("temperature", 0.0, 2.0), ("top_p", 0.0, 1.0), ("repeat_penalty", 0.5, 2.0)):
        if body.get(name) is not None:
            found[name] = number(body[name], name, low, high)
    if body.get("seed") is not None:
        found["seed"] = whole(body["seed"], "seed", -(2**63), 2**63 - 1)
    if body.get("stop") is not None:
        found["stop"] = stops(body["stop"])
    return found


def stream_options(body: Json) -> tuple[bool, bool]:
    """Whether to stream, and whether the usage comes at the end of the stream."""
    stream = boolean(body, "stream")
    options = body.get("stream_options")
    if options is None:
        return stream, False
    if not (stream and isinstance(options, dict)):
        raise RequestError("'stream_options' is an object, and only allowed with 'stream': true", param="stream_options")
    for name in options:
        if name not in ("include_usage", "include_obfuscation"):
            where = f"stream_options.{name[:80]}"
            raise RequestError(f"unrecognized request argument supplied: {where}", param=where, code="unknown-parameter")
    boolean(options, "include_obfuscation", "stream_options.")
    return stream, boolean(options, "include_usage", "stream_options.")


def _metadata(value: object) -> None:
    pairs = mapping(value, "metadata")
    if len(pairs) > 16 or not all(len(k) <= 64 and isinstance(v, str) and len(v) <= 512 for k, v in pairs.items()):
        raise RequestError(
            "'metadata' takes up to 16 pairs of texts: names of up to 64 characters, values of up to 512", param="metadata"
        )


# Say nothing about the reply: checked, and left. `store` is always false here, as for organisations that OpenAI keeps nothing of.
IGNORED: Mapping[str, Callable[[object], object]] = {
    "user": lambda value: text(value, "user"),
    "metadata": _metadata,
    "store": lambda value: boolean({"store": value}, "store"),
    "service_tier": lambda value: one_of(value, "service_tier", _TIERS),
    "safety_identifier": lambda value: text(value, "safety_identifier", 64),
    "prompt_cache_key": lambda value: text(value, "prompt_cache_key"),
    "prompt_cache_retention": lambda value: one_of(value, "prompt_cache_retention", ("in_memory", "24h")),
    "prompt_cache_options": lambda value: mapping(value, "prompt_cache_options"),
}


def check_ignored(body: Json, names: Collection[str] = tuple(IGNORED)) -> None:
    """Check the fields that say nothing about the reply, so that a mistake in them is not found elsewhere first.

    Raises:
        RequestError: one of them is not what OpenAI takes.
    """
    for name in names:
        if body.get(name) is not None:
            IGNORED[name](body[name])


def short(value: object) -> str:
    """A client's value as a message shows it."""
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
