"""Renders chat templates, which are programs written by strangers: sandboxed Jinja in which loops and texts are counted.

The sandbox keeps a template from reaching Python; the limits keep it from hanging or filling the memory of whoever renders it:
every loop step and every joined character is paid from a budget, and only the filters and methods that published templates use
exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from homeroom.errors import ConfigError

VARIABLES: Mapping[str, Any] = {"enable_thinking": False, "date_string": "26 Jul 2024"}
"""Given to every template, here and in the engine. A model that was trained without thinking must not be served with it, and a
prompt that carries today's date would differ from the one that was trained on; the date is the one Llama 3's own template falls
back to."""

LOOP_STEPS = 200_000
CHARACTERS = 4_000_000

# Space-separated, because one word a line would hide the rest of the file.
_FILTERS = """capitalize count default d first int items last length list lower map reject rejectattr select selectattr
string title trim upper""".split()  # noqa: SIM905
_TEXT_METHODS = """capitalize endswith lower lstrip removeprefix removesuffix rstrip split splitlines startswith strip title
upper""".split()  # noqa: SIM905
_METHODS: Mapping[type, frozenset[str]] = {
    str: frozenset(_TEXT_METHODS),
    dict: frozenset({"get", "items", "keys", "values"}),
    list: frozenset(),
}


class _Budget:
    """What one rendering may still spend."""

    def __init__(self) -> None:
        self.steps = LOOP_STEPS
        self.characters = CHARACTERS

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise SecurityError(f"it loops more than {LOOP_STEPS:,} times")

    def pay(self, characters: int) -> None:
        self.characters -= characters
        if self.characters < 0:
            raise SecurityError(f"it writes more than {CHARACTERS:,} characters")


class _Counting(NodeTransformer):
    """Sends every loop and every ``~`` through a filter that counts."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - jinja's naming
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, "counted_steps", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - jinja's naming
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "counted_text", [], [], None, None, lineno=node.lineno)


# Template values are of any type.
@pass_context
def _counted_steps(context: Context, values: Iterable[Any]) -> Iterator[Any]:
    budget: _Budget = context["homeroom_budget"]
    for value in values:
        budget.step()
        yield value


@pass_context
def _counted_text(context: Context, parts: Sequence[Any]) -> str:
    budget: _Budget = context["homeroom_budget"]
    texts = [str(part) for part in parts]
    budget.pay(sum(map(len, texts)))
    return "".join(texts)


@pass_context
def _replace(context: Context, text: str, old: str, new: str) -> str:
    budget: _Budget = context["homeroom_budget"]
    text, old, new = str(text), str(old), str(new)
    budget.pay(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


@pass_context
def _join(context: Context, values: Iterable[Any], separator: str = "") -> str:
    budget: _Budget = context["homeroom_budget"]
    texts = [str(value) for value in values]
    budget.pay(sum(map(len, texts)) + len(texts) * len(str(separator)))
    return str(separator).join(texts)


@pass_context
def _tojson(context: Context, value: Any, indent: int | None = None) -> str:
    budget: _Budget = context["homeroom_budget"]
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    budget.pay(len(text))
    return text


_OWN_FILTERS = {
    "counted_steps": _counted_steps,
    "counted_text": _counted_text,
    "replace": _replace,
    "join": _join,
    "tojson": _tojson,
}


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        self.filters = {**{name: self.filters[name] for name in _FILTERS}, **_OWN_FILTERS}
        self.globals = {"range": self.globals["range"], "namespace": self.globals["namespace"], "raise_exception": _refuse}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, _Budget):
            return False
        allowed = next((names for kind, names in _METHODS.items() if isinstance(obj, kind)), None)
        if allowed is not None and callable(value) and attr not in allowed:
            return False
        return bool(super().is_safe_attribute(obj, attr, value))

    def wrap_str_format(self, value: Any) -> None:
        """No special case for ``str.format``, whose widths cost memory: it falls under `is_safe_attribute` like all methods."""

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        budget: _Budget = context["homeroom_budget"]
        sizes = [len(value) for value in (left, right) if isinstance(value, str | list | tuple)]
        if operator == "+":
            budget.pay(sum(sizes))
        elif operator == "*" and sizes:
            factor = left if isinstance(left, int) else right
            budget.pay(sizes[0] * max(factor, 0) if isinstance(factor, int) else CHARACTERS + 1)
        elif operator == "**" or (operator == "%" and sizes):
            raise SecurityError(f"it uses {operator!r}, which chat templates have no need of")
        return super().call_binop(context, operator, left, right)


class TemplateRefusal(TemplateError):
    """A template's own ``raise_exception``: these messages are not in a form that the model was taught."""


def _refuse(message: str) -> None:
    raise TemplateRefusal(str(message))


@lru_cache(maxsize=16)
def _compiled(source: str) -> Any:
    return _Sandbox().from_string(source)


def render(source: str, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> str:
    """The prompt that a chat template makes of messages.

    Args:
        source: The template's Jinja text.
        messages: ``{"role": ..., "content": ...}`` each.
        variables: What else the template may read: ``add_generation_prompt``, ``bos_token``, ``eos_token``.

    Raises:
        ConfigError: ``chat-template`` when it is not valid, refuses these messages, leaves the sandbox or exceeds its limits.
    """
    budget = _Budget()
    values = {**VARIABLES, **variables, "messages": list(messages), "homeroom_budget": budget}
    pieces: list[str] = []
    try:
        for piece in _compiled(source).generate(**values):
            budget.pay(len(piece))
            pieces.append(piece)
    except TemplateRefusal as error:
        raise ConfigError(
            f"The model's chat template does not take these messages: {error}. Check roles and their order: homeroom data check"
            " FILE",
            code="chat-template",
        ) from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"The model's chat template cannot be used: {error}. Choose another model: homeroom models list", code="chat-template"
        ) from error
    return "".join(pieces)
