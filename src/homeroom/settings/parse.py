"""Parsers of single settings: any value from YAML, the environment or a flag to the setting's type.

Each parser raises ``ValueError`` whose text completes the sentence "<value> is not …".
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from homeroom.settings.model import FINE_TUNING, Endpoint

Parser = Callable[[object], object]

_ENDPOINT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_HOST = re.compile(r"(https://)?([a-z0-9]([a-z0-9-]*[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/?|(https://)?\[[0-9a-f:.]+\]/?")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"(sk|hf|gsk|pk|key)[-_]", re.IGNORECASE)
_DATABASE_SCHEMES = ("sqlite", "postgresql")


def suggestion(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'port'?"`` for a near miss, otherwise empty."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def whole_number(low: int, high: int) -> Parser:
    """A parser of whole numbers from ``low`` to ``high``, both included."""

    def parse(value: object) -> int:
        digits = str(value).strip()
        is_number = isinstance(value, (int, str)) and not isinstance(value, bool) and re.fullmatch(r"-?[0-9]{1,19}", digits)
        if is_number and low <= int(digits) <= high:
            return int(digits)
        raise ValueError(f"a whole number from {low} to {high}")

    return parse


def choice(*options: str) -> Parser:
    """A parser of one of ``options``, whatever the case."""

    def parse(value: object) -> str:
        text = value.strip().lower() if isinstance(value, str) else ""
        if text in options:
            return text
        raise ValueError(f"one of {', '.join(options)}{suggestion(text, options)}")

    return parse


def label(value: object) -> str:
    """A name of letters, digits, dots and dashes, up to 64 characters."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value.strip()):
        return value.strip()
    raise ValueError("a name of letters, digits, dots and dashes, up to 64 characters")


def text(value: object) -> str:
    """One or more printable characters without spaces."""
    if isinstance(value, str) and value.strip() and not re.search(r"\s", value.strip()):
        return value.strip()
    raise ValueError("a text without spaces")


def folder(value: object) -> Path:
    """An absolute path; whether it exists is found out when it is used."""
    if isinstance(value, (str, Path)) and str(value).strip():
        return Path(value).absolute()
    raise ValueError("a path of a folder")


def database_url(value: object) -> str:
    """Empty (SQLite in the home), ``sqlite:///…`` or ``postgresql://…`` with an optional driver."""
    if isinstance(value, str):
        scheme = value.split("://", 1)[0].split("+", 1)[0]
        if not value.strip() or ("://" in value and scheme in _DATABASE_SCHEMES):
            return value.strip()
    raise ValueError("a database URL such as 'postgresql+psycopg://user@host/name', or empty for SQLite in the home")


def endpoints(value: object) -> tuple[Endpoint, ...]:
    """A list of endpoints, each a mapping with ``name``, ``base_url`` and what else an `Endpoint` has."""
    if isinstance(value, tuple) and all(isinstance(entry, Endpoint) for entry in value):
        return value
    if isinstance(value, str):
        value = _from_yaml(value)
    if not isinstance(value, list):
        raise ValueError("a list of endpoints, each with 'name' and 'base_url'")
    problems: list[str] = []
    found = [_endpoint(entry, number, problems) for number, entry in enumerate(value, start=1)]
    names = [endpoint.name for endpoint in found]
    problems += [f"the name {name!r} is used twice" for name in sorted({n for n in names if n and names.count(n) > 1})]
    if problems:
        raise ValueError("right: " + "; ".join(problems))
    return tuple(found)


def hosts(value: object) -> tuple[str, ...]:
    """A list of host names without port, each with ``https://`` before it where a proxy speaks HTTPS for it."""
    given = [part for part in re.split(r"[\s,]+", value) if part] if isinstance(value, str) else value
    if not isinstance(given, (list, tuple)) or not all(isinstance(name, str) and _HOST.fullmatch(name.lower()) for name in given):
        raise ValueError("a list of host names such as [tutor.school.example] or [https://tutor.school.example], without a port")
    return tuple(name.lower().rstrip("/") for name in given)


def switch(value: object) -> bool:
    """True or false, as YAML or the environment writes it."""
    text = str(value).strip().lower()
    if text in ("true", "false", "yes", "no", "on", "off", "1", "0"):
        return text in ("true", "yes", "on", "1")
    raise ValueError("true or false")


def names(value: object) -> Mapping[str, str]:
    """A mapping of names to names: what a client calls a model, and which base model here that means."""
    if isinstance(value, str):
        value = _from_yaml(value)
    if value is None:
        return {}
    if isinstance(value, Mapping) and all(_is_name(entry) for pair in value.items() for entry in pair):
        return {str(key): str(entry) for key, entry in value.items()}
    raise ValueError("a mapping of names, such as {gpt-4o-mini-2024-07-18: smollm2-135m-instruct}")


def _is_name(entry: object) -> bool:
    return isinstance(entry, str) and bool(entry) and not re.search(r"\s", entry)


def _from_yaml(value: str) -> object:
    import yaml

    from homeroom.settings.plain_yaml import load_plain

    try:
        return load_plain(value)
    except yaml.YAMLError:
        return None


def _endpoint(entry: object, number: int, problems: list[str]) -> Endpoint:
    where = f"entry {number}"
    if not isinstance(entry, Mapping):
        problems.append(f"{where} is not a mapping with 'name' and 'base_url'")
        return Endpoint("", "")
    known = ("name", "base_url", "api_key_env", "models", "fine_tuning")
    for key in entry:
        if key not in known:
            problems.append(f"{where} has the unknown key {key!r}{suggestion(str(key), known)}")
    name, url, key_env = (entry.get(key) or "" for key in known[:3])
    models = entry.get("models") or []
    if not (isinstance(name, str) and _ENDPOINT_NAME.fullmatch(name)):
        problems.append(f"{where} has the name {name!r}; use lower-case letters, digits, '.', '_' and '-'")
    problems += [f"{where} {fault}" for fault in (_url_fault(url), _key_fault(key_env)) if fault]
    if not (isinstance(models, list) and all(isinstance(model, str) and model for model in models)):
        problems.append(f"{where} has models {models!r}; give a list of model names")
        models = []
    api = entry.get("fine_tuning") or ""
    if api not in ("", *FINE_TUNING):
        problems.append(f"{where} has fine_tuning {api!r}; give one of {', '.join(FINE_TUNING)}, or leave it out")
    return Endpoint(str(name), str(url).rstrip("/"), str(key_env), tuple(models), str(api))


def _url_fault(url: object) -> str:
    if not isinstance(url, str):
        return f"has the base_url {url!r}; give a text such as 'http://127.0.0.1:11434/v1'"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return f"has the base_url {url!r}; give one such as 'http://127.0.0.1:11434/v1'"
    if parts.username or parts.password:
        return "has a user or password in its base_url; name the variable that holds the key in 'api_key_env'"
    return "" if valid else f"has the base_url {url!r}; give one such as 'http://127.0.0.1:11434/v1'"


def _key_fault(key_env: object) -> str:
    if key_env == "" or (isinstance(key_env, str) and _VARIABLE_NAME.fullmatch(key_env) and not _SECRET.match(key_env)):
        return ""
    # The value is not shown: what was put here by mistake is most likely the key itself.
    return "has an api_key_env that is no variable name; name the variable that holds the key, never give the key"
