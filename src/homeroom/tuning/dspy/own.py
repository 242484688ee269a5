"""A signature of a user's own, by import path: read once into plain data, so that no job imports a user's code."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import PydanticUserError, TypeAdapter

from homeroom.errors import ConfigError
from homeroom.tuning.dspy.packages import require_dspy
from homeroom.tuning.dspy.shipped import shipped
from homeroom.tuning.dspy.spec import HISTORY, SYSTEM, InputField, OutputField, ProgramSpec

_KINDS = ("string", "integer", "number", "boolean", "array")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems")
_KEPT = ("type", "enum", "items", *_BOUNDS)  # what the engine's grammar keeps a reply to, and the model is told in words
_SAYS_NOTHING = ("title", "description", "default", "examples")


def program_named(name: str, folder: Path | None = None) -> ProgramSpec:
    """A shipped program by its name, or a user's signature by ``module:Name`` or ``file.py:Name``.

    Args:
        name: Which.
        folder: Where modules and files are looked for besides where Python looks; the working folder when None.

    Raises:
        NotFoundError: ``unknown-program``.
        ConfigError: ``signature-path``: nothing can be imported there; ``signature-fields``: a field cannot be asked for.
        MissingExtraError: DSPy is not installed, which a signature of one's own needs.
    """
    if ":" not in name:
        return shipped(name)
    place, _, attribute = name.rpartition(":")
    require_dspy()
    import dspy

    found = getattr(_module(name, place, folder or Path.cwd()), attribute, None)
    if not (isinstance(found, type) and issubclass(found, dspy.Signature)):
        raise ConfigError(
            f"{name!r} is no DSPy signature: {attribute!r} in {place!r} is {type(found).__name__ if found else 'not there'}. "
            "Name a class that derives from dspy.Signature: --program my_file.py:MySignature",
            code="signature-path",
        )
    return _spec(name, found)


def _module(name: str, place: str, folder: Path) -> ModuleType:
    try:
        if place.endswith(".py"):
            file = folder / place
            found = spec_from_file_location(file.stem, file)
            if found is None or found.loader is None or not file.is_file():
                raise ModuleNotFoundError(f"there is no file {str(file)!r}")
            module = module_from_spec(found)
            found.loader.exec_module(module)
            return module
        return _imported(place, folder)
    # A user's module may raise anything while it is imported, and may want to end the process.
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{name!r} cannot be imported: {type(error).__name__}: {error}. Start where the file lies, or install the package; "
            "write --program my_file.py:MySignature",
            code="signature-path",
        ) from error


def _imported(place: str, folder: Path) -> ModuleType:
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        return import_module(place)
    finally:
        sys.path[:] = before


def _spec(name: str, signature: Any) -> ProgramSpec:  # a class of DSPy's, which is untyped
    inputs = []
    for field, info in signature.input_fields.items():
        if field in (SYSTEM, HISTORY) or getattr(info.annotation, "__name__", "") == "History":
            continue
        _schema(name, field, info)
        inputs.append(InputField(field, _about(field, info)))
    outputs = tuple(
        OutputField(field, _about(field, info), _kept(name, field, _schema(name, field, info)))
        for field, info in signature.output_fields.items()
    )
    if not inputs or not outputs:
        raise ConfigError(
            f"{name!r} has {len(inputs)} input and {len(outputs)} output fields besides history. Give it at least one of each: "
            "question: str = dspy.InputField()",
            code="signature-fields",
        )
    return ProgramSpec(signature.__name__, str(signature.instructions), tuple(inputs), outputs)


def _about(field: str, info: Any) -> str:  # pydantic's FieldInfo as DSPy extends it
    about = str((info.json_schema_extra or {}).get("desc") or "")
    return "" if about == f"${{{field}}}" else about


def _schema(name: str, field: str, info: Any) -> dict[str, Any]:
    """The JSON Schema of a field's type: texts, numbers, truth values, choices, and lists of those."""
    annotation = info.annotation
    try:  # what is said beside the type, ge=1 say, stands apart from it
        schema = TypeAdapter(Annotated[annotation, *info.metadata] if info.metadata else annotation).json_schema()
    except PydanticUserError:
        schema = {}
    inner = schema.get("items", {}) if schema.get("type") == "array" else schema
    if inner.get("type") not in _KINDS or inner.get("type") == "array" or "$defs" in schema:
        raise ConfigError(
            f"The field {field!r} of {name!r} is {getattr(annotation, '__name__', annotation)!r}, which no prompt can hold. "
            "Use str, int, float, bool, Literal, or a list of one of them",
            code="signature-fields",
        )
    return schema


def _kept(name: str, field: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an output, a constant as a choice of one.

    Raises:
        ConfigError: ``signature-fields``: it asks for what no reply can be kept to.
    """
    found = {key: value for key, value in schema.items() if key not in _SAYS_NOTHING}
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "items" in found:
        found["items"] = _kept(name, field, found["items"])
    lost = [f"{key} = {value!r}" for key, value in found.items() if key not in _KEPT]
    if lost:
        raise ConfigError(
            f"The field {field!r} of {name!r} asks for {', '.join(lost)}, which no reply can be kept to. Take it out of the "
            "field's type and say it in desc=; bounds of numbers (ge, gt, le, lt), lengths of lists and Literal are kept",
            code="signature-fields",
        )
    return found
