"""Renders chat templates, which are programs written by strangers, in `homeroom.models.template_sandbox`.

The sandbox keeps a template from reaching Python; its budget keeps it from hanging or filling the memory of whoever renders it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from homeroom.errors import ConfigError
from homeroom.models.template_sandbox import Budget, OutOfTime, Sandbox, TemplateRefusal, spend

VARIABLES: Mapping[str, Any] = {"enable_thinking": False, "date_string": "26 Jul 2024"}
"""Given to every template, here and in the engine. A model that was trained without thinking must not be served with it, and a
prompt that carries today's date would differ from the one that was trained on; the date is the one Llama 3's own template falls
back to."""

MAX_TEMPLATE_CHARACTERS = 50_000
"""The longest template. Compiling one of this length takes half a second of processor time at the worst."""

# What Jinja, the code that it generates, and Python's compiler raise for templates that are wrong in ways of their own.
_FAILURES = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    NameError,
    RuntimeError,
    AssertionError,
    SyntaxError,
    MemoryError,
)


@lru_cache(maxsize=16)
def _compiled(source: str) -> Any:  # jinja's template
    if len(source) > MAX_TEMPLATE_CHARACTERS:
        raise ValueError(f"it has {len(source):,} characters; {MAX_TEMPLATE_CHARACTERS:,} is the limit")
    return Sandbox().from_string(source)


def _rendered(source: str, values: Mapping[str, Any]) -> str:
    # Compiling is bounded by the length and paid apart: out of its first rendering it would leave a slow machine too little.
    compiled = spend(Budget(), lambda: _compiled(source))
    try:
        return spend(Budget(), lambda: "".join(compiled.generate(**values)))
    except OutOfTime:
        # In a large process one collection of garbage takes longer than the whole budget; it does not come twice in a row.
        return spend(Budget(), lambda: "".join(compiled.generate(**values)))


def render(source: str, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> str:
    """The prompt that a chat template makes of messages.

    Args:
        source: The template's Jinja text.
        messages: ``{"role": ..., "content": ...}`` each.
        variables: What else the template may read: ``add_generation_prompt``, ``bos_token``, ``eos_token``.

    Raises:
        ConfigError: ``chat-template`` when it is not valid, refuses these messages, leaves the sandbox or exceeds its limits.
    """
    values = {**VARIABLES, **variables, "messages": list(messages)}
    try:
        prompt = _rendered(source, values)
        prompt.encode()
    except TemplateRefusal as error:
        raise ConfigError(
            f"The model's chat template does not take these messages: {error}. Check roles and their order: homeroom data check"
            " FILE",
            code="chat-template",
        ) from error
    except _FAILURES as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigError(
            f"The model's chat template cannot be used: {reason}. Choose another model: homeroom models list",
            code="chat-template",
        ) from error
    return prompt


PROBES: Sequence[Sequence[Mapping[str, str]]] = (
    ({"role": "user", "content": "What is a half of 14?"},),
    (
        {"role": "system", "content": "You are a tutor."},
        {"role": "user", "content": "Half of 14 is 8, right?"},
        {"role": "assistant", "content": "Draw 14 dots in two rows."},
        {"role": "user", "content": "Oh, 7.\nThanks!"},
    ),
)
"""Conversations that every template is tried on before a model is taken in."""


def check_template(source: str) -> None:
    """Refuse a template that cannot be rendered, before the model is kept. One that declines a system message may stay.

    Raises:
        ConfigError: ``chat-template``.
    """
    for index, messages in enumerate(PROBES):
        try:
            render(source, messages, {"add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"})
        except ConfigError as error:
            if index == 0 or not isinstance(error.__cause__, TemplateRefusal):
                raise
