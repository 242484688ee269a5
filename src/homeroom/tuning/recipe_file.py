"""YAML to recipes. Every mistake of a file is reported at once: key path, value, allowed range, and the nearest known name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

import annotated_types
import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from homeroom.errors import ConfigError
from homeroom.settings.plain_yaml import MAX_CHARACTERS, load_plain
from homeroom.storage.plain import read_plain
from homeroom.tuning.dspy.recipe import DspyRecipe
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.sweep.space import SweepSpec

RECIPES = Path(__file__).parent / "recipes"
"""Where the bundled recipes are: ``demo.yaml``, ``course.yaml`` and ``prompt.yaml``."""

Run = Recipe | DspyRecipe | OpenAIRecipe
"""A recipe of any method."""

METHODS: Mapping[str, type[Recipe] | type[DspyRecipe] | type[OpenAIRecipe]] = {
    "huggingface": Recipe,
    "local": Recipe,
    "dspy": DspyRecipe,
    "openai": OpenAIRecipe,
}
"""``local`` is another name of ``huggingface``."""

Plain = dict[str, Any]  # what YAML holds: any JSON
GIVEN = "recipe"
"""What messages call a recipe of which only the keys are given."""


def load_recipes(path: Path) -> list[Recipe]:
    """As `load_runs`, for where weights are trained.

    Raises:
        ConfigError: also ``recipe-method``, when a run has another method.
    """
    runs = load_runs(path)
    recipes = [run for run in runs if isinstance(run, Recipe)]
    if len(recipes) < len(runs):
        other = next(run for run in runs if not isinstance(run, Recipe))
        raise ConfigError(
            f"The recipe {str(path)!r} has the method {other.method!r}, and weights are trained here. Tune with it: "
            f"homeroom tune run --recipe {path}",
            code="recipe-method",
        )
    return recipes


def load_runs(path: Path) -> list[Run]:
    """Every run that a recipe file describes, in its order.

    A file is one recipe; or it holds ``runs``, a mapping of run names to the keys in which each differs from the file's
    other keys. The part ``sweep`` is for `load_sweep`. A name such as ``demo.yaml`` or ``recipes/demo.yaml`` that does not
    exist here is looked up among the bundled recipes.

    Raises:
        ConfigError: ``recipe-missing`` when there is no such file; ``recipe-invalid`` with one line for each mistake.
    """
    file = _find(path)
    record = _read_yaml(file)
    shared = {key: value for key, value in record.items() if key not in ("runs", "sweep")}
    _sweep_of(record, file)
    if "runs" not in record:
        return _validated({"": {"name": file.stem, **shared}}, file)
    runs = record["runs"]
    if not isinstance(runs, dict) or not runs or not all(isinstance(run, dict | None) for run in runs.values()):
        raise _invalid(file, [f"runs = {runs!r}: must map each run's name to the keys in which it differs (or to nothing)"])
    return _validated({f"runs.{name}.": _merge(shared, {"name": str(name), **(run or {})}) for name, run in runs.items()}, file)


def load_sweep(path: Path) -> SweepSpec:
    """The part ``sweep`` of a recipe file; the default ranges where there is none.

    Raises:
        ConfigError: as `load_runs`.
    """
    file = _find(path)
    return _sweep_of(_read_yaml(file), file)


def parse_sweep(record: Mapping[str, Any]) -> SweepSpec:
    """Ranges and budget from plain data: the keys of the part ``sweep``.

    Raises:
        ConfigError: ``recipe-invalid`` with one line for each mistake.
    """
    return _sweep_of({"sweep": dict(record)}, Path(GIVEN))


def _sweep_of(record: Plain, file: Path) -> SweepSpec:
    try:
        return SweepSpec.model_validate(record.get("sweep") or {})
    except ValidationError as error:
        lines = [_line(SweepSpec, "sweep.", details) for details in error.errors(include_url=False)]
    raise _invalid(file, list(dict.fromkeys(lines)))


def parse_run(record: Mapping[str, Any], source: str = GIVEN) -> Run:
    """A recipe of any method from plain data: the keys of a file with one run. The name is the method's where none is given.

    Raises:
        ConfigError: ``recipe-invalid`` with one line for each mistake.
    """
    (run,) = _validated({"": {"name": str(record.get("method", "run")), **record}}, Path(source))
    return run


def run_of(recipe: Run | Mapping[str, Any]) -> Run:
    """A recipe, also where only its keys are given.

    Raises:
        ConfigError: as `parse_run`.
    """
    if isinstance(recipe, Mapping):
        return parse_run(recipe)
    if not isinstance(recipe, BaseModel):  # a file's name, or nothing at all
        raise ConfigError(
            f"{recipe!r} is no recipe. Give its keys, such as {{'name': 'fractions', 'task': 'tutor'}}; yaml.safe_load reads "
            "those of a file",
            code="recipe-invalid",
        )
    return recipe


def parse_recipe(record: Mapping[str, Any], source: str = GIVEN) -> Recipe:
    """A recipe from plain data, such as a stored one.

    Raises:
        ConfigError: ``recipe-invalid`` with one line for each mistake.
    """
    (recipe,) = _validated({"": dict(record)}, Path(source))
    if not isinstance(recipe, Recipe):
        raise _invalid(Path(source), [f"method = {recipe.method!r}: must be 'huggingface'"])
    return recipe


def dump_recipe(recipe: Run) -> str:
    """YAML that `load_runs` reads back to an equal recipe."""
    return yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True, width=120)


def _find(path: Path) -> Path:
    bundled = RECIPES / path.name
    if path.is_file():
        return path
    if str(path) in (path.name, f"recipes/{path.name}") and bundled.is_file():
        return bundled
    known = ", ".join(sorted(file.name for file in RECIPES.glob("*.yaml")))
    there = "is a folder, and a recipe is a file" if path.is_dir() else "is no ordinary file"
    what = there if path.exists() else "does not exist"
    raise ConfigError(
        f"The recipe {str(path)!r} {what}. Bundled are: {known}. Try: homeroom tune plan --recipe recipes/demo.yaml",
        code="recipe-missing",
    )


def _read_yaml(file: Path) -> Plain:
    try:
        record = load_plain(read_plain(file, limit_bytes=4 * MAX_CHARACTERS, links=True).decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _invalid(file, [f"not YAML: {' '.join(str(error).split())}"]) from None
    if record is None:
        raise _invalid(file, ["is empty: must hold keys such as 'task' and 'epochs'"])
    if not isinstance(record, dict):
        raise _invalid(file, [f"holds {type(record).__name__} {str(record)[:40]!r}: must hold keys such as 'task' and 'epochs'"])
    return record


def _merge(shared: Plain, run: Plain) -> Plain:
    """``run`` over ``shared``, mappings merged key by key; but a half of an either-or replaces the other half."""
    merged = dict(shared)
    for key, value in run.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both and key != "accumulation" else value
    return merged


def _validated(records: Mapping[str, Plain], file: Path) -> list[Run]:
    recipes: list[Run] = []
    lines: list[str] = []
    for prefix, record in records.items():
        if "method" in record and str(record["method"]) not in METHODS:
            lines.append(f"{prefix}method = {_short(record['method'])}: must be one of {', '.join(map(repr, METHODS))}")
            continue
        root = METHODS.get(str(record.get("method")), Recipe)
        try:
            recipes.append(root.model_validate(record))
        except ValidationError as error:
            lines += [_line(root, prefix, details) for details in error.errors(include_url=False)]
    if lines:
        raise _invalid(file, list(dict.fromkeys(lines)))
    return recipes


def _invalid(file: Path, lines: list[str]) -> ConfigError:
    count = f"{len(lines)} mistake{'s' if len(lines) != 1 else ''}"
    text = "\n".join(f"  {line}" for line in lines)
    again = "Mend them" if str(file) == GIVEN else f"Mend them and look again: homeroom tune plan --recipe {file}"
    return ConfigError(
        f"The recipe {str(file)!r} has {count}:\n{text}\n{again}",
        code="recipe-invalid",
    )


def _line(root: type[BaseModel], prefix: str, details: ErrorDetails) -> str:
    path = _path(details["loc"])
    where = f"{prefix}{path}" if path else prefix.rstrip(".") or "recipe"
    if details["type"] == "extra_forbidden":
        return f"{where}: unknown key{_suggestion(root, details['loc'])}"
    if details["type"] == "missing":
        return f"{where}: is missing"
    if details["type"] == "value_error":
        message = str(details["msg"]).removeprefix("Value error, ")
        return (
            f"{where}: {message}"
            if isinstance(details["input"], dict | BaseModel)
            else f"{where} = {_short(details['input'])}: {message}"
        )
    values = allowed(root, details["loc"]) or str(details["msg"]).removeprefix("Input should be ")
    return f"{where} = {_short(details['input'])}: must be {values}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _path(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _suggestion(root: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """The nearest key of the same part; failing that, a key of that name in another part."""
    part = _model(root, loc[:-1])
    if part is None:
        return ""
    near = get_close_matches(str(loc[-1]), part.model_fields, n=1, cutoff=0.7)
    if near:
        return f"; did you mean {near[0]!r}?"
    everywhere = {
        key: name for name, field in root.model_fields.items() if (inner := _inner_model(field)) for key in inner.model_fields
    }
    near = get_close_matches(str(loc[-1]), everywhere, n=1, cutoff=0.7)
    if near:
        return f"; did you mean '{everywhere[near[0]]}.{near[0]}'?"
    return f"; known here: {', '.join(part.model_fields)}"


def _model(root: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    model = root
    parts = iter(loc)
    for part in parts:
        field = model.model_fields.get(str(part))
        inner = _inner_model(field) if field else None
        if field is None or inner is None:
            return None
        if get_origin(field.annotation) is dict:
            next(parts, None)  # the key under which it stands
        model = inner
    return model


def _inner_model(field: FieldInfo) -> type[BaseModel] | None:
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def allowed(root: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """What the field at ``loc`` takes, in words: ``a number above 0 and at most 0.1``; empty where pydantic says it as well."""
    names = [part for part in loc if isinstance(part, str)]
    model = _model(root, tuple(names[:-1]))
    field = model.model_fields.get(names[-1]) if model and names else None
    if field is None:
        return ""
    text = _describe(field.annotation, tuple(field.metadata))
    return text.removeprefix("a list, each item ") if isinstance(loc[-1], int) else text


def _describe(kind: Any, metadata: tuple[Any, ...]) -> str:  # kind: a type or a typing form
    if get_origin(kind) is not None and hasattr(kind, "__metadata__"):
        inner, *more = get_args(kind)
        return _describe(inner, (*metadata, *(m for info in more for m in getattr(info, "metadata", ()))))
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _bounds(metadata)
    options = get_args(kind)
    if str(get_origin(kind)) == "typing.Literal":
        return "one of " + ", ".join(repr(option) for option in options)
    if get_origin(kind) is tuple:
        return "a list, each item " + _describe(options[0], ())
    if type(None) in options:
        return _describe(next(option for option in options if option is not type(None)), ()) + ", or nothing"
    pattern = next((m.pattern for m in metadata if hasattr(m, "pattern")), None)
    if kind is str and pattern:
        longest = re.search(r"\{0,(\d+)\}", pattern)
        return "lower-case letters, digits and hyphens" + (f", at most {int(longest[1]) + 1}" if longest else "")
    return "text" if kind is str else "a mapping of keys" if isinstance(kind, type) and issubclass(kind, BaseModel) else ""


def _bounds(metadata: tuple[Any, ...]) -> str:  # annotated_types' constraints, one class each
    words = {
        annotated_types.Ge: "at least",
        annotated_types.Gt: "above",
        annotated_types.Le: "at most",
        annotated_types.Lt: "below",
    }
    names = {annotated_types.Ge: "ge", annotated_types.Gt: "gt", annotated_types.Le: "le", annotated_types.Lt: "lt"}
    found = [f"{words[kind]} {getattr(m, names[kind]):,}" for kind in words for m in metadata if isinstance(m, kind)]
    return " " + " and ".join(found) if found else ""
