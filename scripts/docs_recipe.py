"""The reference page of recipes: every key of the three methods, from the models that read them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from homeroom.tuning.dspy.recipe import DspyRecipe
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import allowed
from homeroom.tuning.sweep.space import SweepSpec

PROSE = Path(__file__).parent / "recipe.md"
METHODS: dict[str, type[BaseModel]] = {"HUGGINGFACE": Recipe, "DSPY": DspyRecipe, "OPENAI": OpenAIRecipe, "SWEEP": SweepSpec}
ELSEWHERE = {
    "generation": "the keys of `generation` in the table of `huggingface`",
    "weights": "the keys of the table of `huggingface`",
}
"""Parts of the methods ``dspy`` and ``openai`` that another table tells."""
TYPED = {"lora.target_modules": "a list of `q_proj` ... `down_proj`", "optimiser.betas": "two numbers below 1", "batch_tokens":
         "`auto`, or a whole number at most 4,000,000", "roles": "`tutor`, `learner`: each with `suffix` and `generation`",
         "sweep.learning_rate": "a list of ranges [low, high], each number at most 0.1",
         "sweep.rank": "a list of whole numbers, 1 to 256", "sweep.alpha": "a list of numbers, above 0 and at most 1024",
         "strategy": "`p` and `w` with ` -> ` between"}  # fmt: skip


def page() -> str:
    """The page, its tables filled."""
    text = PROSE.read_text("utf-8")
    for name, model in METHODS.items():
        prefix = "sweep." if name == "SWEEP" else ""
        rows = [f"| `{key}` | {default} | {takes} | {about} |" for key, default, takes, about in keys(model, prefix, name)]
        table = ["| key | without it | takes | meaning |", "|---|---|---|---|", *rows]
        text = text.replace(f"{{{name}}}", "\n".join(table))
    return text


def keys(
    model: type[BaseModel], prefix: str = "", method: str = "HUGGINGFACE", made: BaseModel | None = None
) -> Iterator[tuple[str, str, str, str]]:
    """Key, default, allowed values and meaning of every field, those of inner parts with a dot; ``made`` holds the defaults."""
    told = meanings(model)
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        value = getattr(made, name) if made is not None else field.default
        if isinstance(value, BaseModel) and (method == "HUGGINGFACE" or name not in ELSEWHERE):
            yield from keys(type(value), f"{key}.", method, value)
        elif isinstance(value, BaseModel):
            yield key, "", ELSEWHERE[name], told.get(name, "")
        else:
            takes = TYPED.get(key) or _choices(allowed(model, (name,)), field.annotation)
            default = "the file's name" if field.is_required() else _default(value)
            yield key, default, takes, told.get(name, "")


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """The part ``Attributes`` of the docstring, by field."""
    part = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    name = ""
    for line in part.splitlines():
        match = re.match(r"    (\w+): (.*)", line)
        if match:
            name, found[match[1]] = match[1], match[2]
        elif name and line.startswith("     "):
            found[name] += f" {line.strip()}"
    return {key: text.replace("``", "`").replace("|", "¦") for key, text in found.items()}


def _default(value: object) -> str:
    if value is None or value in ((), {}, ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{[list(v) if isinstance(v, tuple) else v for v in value]}`".replace("'", "")
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _choices(text: str, kind: object) -> str:
    if kind is bool:
        return "`true`, `false`"
    return re.sub(r"'([^']*)'", r"`\1`", text)
