"""Reading settings: ``<home>/config.yaml`` < environment (``HOMEROOM_*``) < overrides (flags)."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeroom.errors import ConfigError
from homeroom.settings.model import Settings
from homeroom.settings.parse import suggestion
from homeroom.settings.reference import SETTINGS_REFERENCE, Setting

_ENV_PREFIX = "HOMEROOM_"


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as it was given, and where."""

    name: str
    value: object
    source: str


def load_settings(overrides: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force.

    Args:
        overrides: Flags by setting name; those that are None were not given.
        environ: Environment to read; the process's own when omitted.

    Raises:
        ConfigError: code ``settings``, with every problem found in file, environment and overrides.
    """
    environ = os.environ if environ is None else environ
    known = {setting.name: setting for setting in SETTINGS_REFERENCE}
    problems: list[str] = []
    outside = _from_environment(environ, known, problems) + _from_overrides(overrides or {}, known, problems)
    values: dict[str, Any] = {}  # parsed settings, each of its own type
    for name in ("home", "cache"):
        values[name] = known[name].parse(_expanded(known[name].default, environ))
    _parse_into(values, [given for given in outside if given.name == "home"], known, environ, problems)
    inside = _from_file(values["home"] / "config.yaml", known, problems)
    others = [given for given in inside + outside if given.name != "home"]
    _parse_into(values, others, known, environ, problems)
    if problems:
        raise ConfigError(_message(problems), code="settings")
    return Settings(**values)


def _message(problems: list[str]) -> str:
    if len(problems) == 1:
        return f"A setting is wrong: {problems[0]}. Mend it, then run: homeroom doctor"
    listed = "".join(f"\n  {problem}" for problem in problems)
    return f"{len(problems)} settings are wrong:{listed}\nMend them, then run: homeroom doctor"


def _parse_into(
    values: dict[str, Any],  # parsed settings, each of its own type
    given: list[_Given],
    known: Mapping[str, Setting],
    environ: Mapping[str, str],
    problems: list[str],
) -> None:
    for entry in given:
        setting = known[entry.name]
        try:
            values[entry.name] = setting.parse(_expanded(entry.value, environ))
        except ValueError as error:
            shown = "the value" if setting.secret else repr(entry.value)
            problems.append(f"{entry.name}: {shown} is not {error} ({entry.source})")


def _expanded(value: object, environ: Mapping[str, str]) -> object:
    """``~/…`` in the user's folder as ``environ`` names it; anything else unchanged."""
    if not (isinstance(value, str) and (value == "~" or value.startswith("~/"))):
        return value
    user_folder = environ.get("HOME")
    return str(Path(user_folder) / value[2:]) if user_folder else str(Path(value).expanduser())


def _from_environment(environ: Mapping[str, str], known: Mapping[str, Setting], problems: list[str]) -> list[_Given]:
    given = [_Given(s.name, environ[s.env], f"from {s.env}") for s in known.values() if environ.get(s.env, "").strip()]
    variables = [setting.env for setting in known.values()]
    for variable in sorted(environ):
        # Other HOMEROOM_ variables may hold the keys that endpoints name, so only a near miss is taken for a typo.
        ours = variable.startswith(_ENV_PREFIX) and variable not in variables
        if ours and (near := difflib.get_close_matches(variable, variables, n=1, cutoff=0.88)):
            problems.append(f"the environment variable {variable!r} sets nothing; did you mean {near[0]!r}?")
    return given


def _from_overrides(overrides: Mapping[str, object], known: Mapping[str, Setting], problems: list[str]) -> list[_Given]:
    given = []
    for name, value in overrides.items():
        if name not in known:
            problems.append(f"{name!r} is no setting{suggestion(name, known)}")
        elif value is not None:
            given.append(_Given(name, value, f"from --{name.replace('_', '-')}"))
    return given


def _from_file(path: Path, known: Mapping[str, Setting], problems: list[str]) -> list[_Given]:
    try:
        if path.exists() and not path.is_file():
            problems.append(f"{str(path)!r} is not a plain file")
            return []
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{str(path)!r} cannot be read: {error}")
        return []
    given = []
    for key, value, line in _top_level(content, path, problems):
        setting = known.get(key)
        if setting is None:
            problems.append(f"{key!r} is no setting{suggestion(key, known)} ({path}:{line})")
        elif not setting.in_file:
            problems.append(f"{key!r} cannot be set in the file that lies in it; use {setting.env} ({path}:{line})")
        elif value is not None:
            given.append(_Given(key, value, f"{path}:{line}"))
    return given


def _top_level(content: str, path: Path, problems: list[str]) -> list[tuple[str, object, int]]:
    """Key, value and line of each top-level entry of a YAML mapping."""
    import yaml

    from homeroom.settings.plain_yaml import PlainLoader, load_plain

    try:
        record = load_plain(content)
        root = yaml.compose(content, Loader=PlainLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problems.append(f"the file is not valid YAML: {getattr(error, 'problem', None) or error} ({where})")
        return []
    if record is None:
        return []
    if not (isinstance(record, dict) and isinstance(root, yaml.MappingNode)):
        problems.append(f"the file must hold 'name: value' lines, not a {type(record).__name__} ({path}:1)")
        return []
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in root.value}
    return [(str(key), value, lines.get(str(key), 1)) for key, value in record.items()]
