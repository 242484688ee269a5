"""``homeroom-data.yaml``: which rules run, how strictly, and which files are left alone by which."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from homeroom.data.lint.model import Options
from homeroom.errors import ConfigError

FILE_NAME = "homeroom-data.yaml"
SEVERITIES = ("error", "warning", "info", "off")
KEYS = ("select", "ignore", "per-file", "thresholds", "severity", "roster", "base", "method", "max-tokens")


@dataclass(frozen=True, slots=True)
class LintConfig:
    """What a configuration file says.

    Attributes:
        select: Codes, families or names of rules to run; all when empty.
        ignore: Those to leave out.
        per_file: Pattern of file names to the rules that leave these files alone.
        severity: Code or name to ``error``, ``warning``, ``info`` or ``off``.
        thresholds: By code: a rule's own values.
        roster: Names of learners, lower case.
        base, method, max_tokens: As in `Options`.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    per_file: tuple[tuple[str, tuple[str, ...]], ...] = ()
    severity: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    roster: frozenset[str] = frozenset()
    base: str = ""
    method: str = ""
    max_tokens: int = 0

    def options(self, given: Options) -> Options:
        """``given`` (flags), completed by what the file says."""
        return replace(
            given,
            base=given.base or self.base,
            method=given.method or self.method,
            max_tokens=given.max_tokens or self.max_tokens,
            roster=given.roster | self.roster,
            thresholds={**self.thresholds, **given.thresholds},
        )

    def ignored_in(self, file: Path) -> tuple[str, ...]:
        """The rules that leave ``file`` alone."""
        return tuple(
            name
            for pattern, names in self.per_file
            if fnmatch.fnmatch(file.name, pattern) or fnmatch.fnmatch(str(file), pattern)
            for name in names
        )


def find_config(files: Sequence[Path]) -> Path | None:
    """The configuration beside the first of ``files``, if one is there."""
    folder = files[0].parent if files else Path()
    path = folder / FILE_NAME
    return path if path.is_file() else None


def load_config(path: Path) -> LintConfig:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, or a key or value is not known (``lint-config``).
    """
    import yaml

    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _wrong(path, f"cannot be read: {error}") from error
    if data is None:
        return LintConfig()
    if not isinstance(data, dict):
        raise _wrong(path, f"holds a {type(data).__name__} where keys such as 'ignore:' are expected")
    unknown = [key for key in data if key not in KEYS]
    if unknown:
        raise _wrong(path, f"has the unknown key {unknown[0]!r}. Known: {', '.join(KEYS)}")
    return LintConfig(
        select=_names(path, "select", data.get("select")),
        ignore=_names(path, "ignore", data.get("ignore")),
        per_file=tuple(
            (str(k), _names(path, "per-file", v)) for k, v in _mapping(path, "per-file", data.get("per-file")).items()
        ),
        severity=_severities(path, _mapping(path, "severity", data.get("severity"))),
        thresholds={
            str(code).upper(): _mapping(path, f"thresholds: {code}", values)
            for code, values in _mapping(path, "thresholds", data.get("thresholds")).items()
        },
        roster=_roster(path, data.get("roster")),
        base=str(data.get("base") or ""),
        method=_method(path, data.get("method")),
        max_tokens=_whole(path, data.get("max-tokens")),
    )


def read_roster(path: Path) -> frozenset[str]:
    """Names of a class, one on each line of a text file (or the first column of a CSV), in lower case.

    Raises:
        ConfigError: it cannot be read (``lint-config``).
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(path, f"cannot be read as a list of names: {error}") from error
    names = (line.split(";")[0].split(",")[0].strip(" \t\"'").lower() for line in lines if not line.startswith("#"))
    return frozenset(name for name in names if name and name not in ("name", "names", "first name", "learner", "student"))


def _wrong(path: Path, what: str) -> ConfigError:
    return ConfigError(f"{str(path)!r} {what}.", code="lint-config")


def _names(path: Path, key: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    items = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise _wrong(path, f"has {key}: {value!r} where a list of codes such as [STR001, QUA] is expected")
    return tuple(items)


def _mapping(path: Path, key: str, value: object) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(path, f"has {key}: {value!r} where keys with values are expected")
    return value


def _severities(path: Path, values: Mapping[Any, Any]) -> dict[str, str]:
    # YAML reads a bare "off" as false.
    found = {str(name): "off" if value is False else value for name, value in values.items()}
    for name, value in found.items():
        if value not in SEVERITIES:
            raise _wrong(path, f"gives {name} the severity {value!r}; it is one of {', '.join(SEVERITIES)}")
    return cast(dict[str, str], found)


def _roster(path: Path, value: object) -> frozenset[str]:
    if value is None:
        return frozenset()
    if isinstance(value, list):
        return frozenset(str(name).strip().lower() for name in value if str(name).strip())
    return read_roster(path.parent / str(value))


def _method(path: Path, value: object) -> str:
    if value not in (None, "dspy", "openai", "huggingface"):
        raise _wrong(path, f"has method: {value!r}; it is dspy, openai or huggingface")
    return str(value or "")


def _whole(path: Path, value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _wrong(path, f"has max-tokens: {value!r} where a number of tokens is expected")
    return value


def severity_of(code: str, name: str, config: LintConfig) -> str:
    """What the configuration says of a rule's severity, ``off`` included; empty when nothing. The most precise entry wins."""
    for key in (code, name, code[:3]):
        if key in config.severity:
            return config.severity[key]
    return ""
