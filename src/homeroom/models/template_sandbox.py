"""The sandbox in which chat templates run: Jinja without a way out, in which everything is paid from a budget.

What a template may spend is counted where it is spent: loop steps and calls, characters written or made, elements of lists. Each
single operation is therefore small, and between any two of them the processor time is looked at. Not counted is only what the
sandbox does not have.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import wraps
from itertools import islice
from typing import Any, TypeVar, cast

from jinja2 import TemplateError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

T = TypeVar("T")

LOOP_STEPS = 200_000
CHARACTERS = 8_000_000
ELEMENTS = 400_000
CPU_S = 0.25
MAX_INDENT = 8
MAX_BITS = 4096

# Space-separated, because one word a line would hide the rest of the file.
_FILTERS = "count default d first int items last length map reject rejectattr select selectattr".split()  # noqa: SIM905
_TESTS = """callable boolean defined divisibleby eq equalto even false float ge greaterthan gt in integer iterable le
lessthan lower lt mapping ne none number odd sameas sequence string true undefined upper == != > >= < <=""".split()  # noqa: SIM905
_TEXT_METHODS = """capitalize endswith lower lstrip removeprefix removesuffix rstrip split splitlines startswith strip title
upper""".split()  # noqa: SIM905
_METHODS: dict[type, frozenset[str]] = {
    str: frozenset(_TEXT_METHODS),
    dict: frozenset({"get", "items", "keys", "values"}),
}
# Objects of Jinja's own, whose public parts are safe to call; everything else has no callable parts but those above.
_JINJA_OBJECTS = (Namespace, LoopContext, Undefined)


class OutOfTime(SecurityError):
    """The processor time is used up, by the template or by whatever else its thread was made to do meanwhile."""


class Budget:
    """What one rendering may still spend."""

    def __init__(self) -> None:
        self._steps, self._characters, self._elements = LOOP_STEPS, CHARACTERS, ELEMENTS
        self._ends_at = time.thread_time() + CPU_S

    def check(self) -> None:
        """Refuse to go on when the processor time is used up: a bound on what the counters below leave open."""
        if time.thread_time() > self._ends_at:
            raise OutOfTime(f"it computes for more than {CPU_S:g} seconds")

    def step(self) -> None:
        """A loop step or a call."""
        self._steps -= 1
        if self._steps < 0:
            raise SecurityError(f"it loops more than {LOOP_STEPS:,} times")
        if self._steps % 16 == 0:
            self.check()

    def pay(self, characters: int) -> None:
        """Text that is written or made."""
        self._characters -= characters
        if self._characters < 0:
            raise SecurityError(f"it writes more than {CHARACTERS:,} characters")

    def hold(self, count: int) -> None:
        """Elements that a list is about to have."""
        self._elements -= count
        if self._elements < 0:
            raise SecurityError(f"it makes lists of more than {ELEMENTS:,} elements")

    def walk(self, value: Any, *, to_write: bool) -> None:  # a template's value: of any type
        """Pay for every element of a container, as often as it is reached: shared parts make text that grows exponentially."""
        left = [value]
        while left:
            item = left.pop()
            self.hold(1)
            if isinstance(item, list | tuple):
                self.hold(len(item))
                left.extend(item)
            elif isinstance(item, dict):
                self.hold(2 * len(item))
                left.extend(item.keys())
                left.extend(item.values())
            elif isinstance(item, str):
                if to_write:
                    self.pay(len(item))
            elif to_write and not (item is None or isinstance(item, bool | int | float)):
                raise SecurityError(f"it writes a {type(item).__name__}")


_BUDGET: ContextVar[Budget] = ContextVar("template_budget")


class TemplateRefusal(TemplateError):
    """A template's own ``raise_exception``: these messages are not in a form that the model was taught."""


def spend(budget: Budget, work: Callable[[], T]) -> T:
    """What ``work`` gives, paid from ``budget``."""
    token = _BUDGET.set(budget)
    try:
        return work()
    finally:
        _BUDGET.reset(token)


def _refuse(message: object) -> None:
    raise TemplateRefusal(_text(message))


# Below, values of templates are of any type.
def _text(value: Any) -> str:
    """``value`` as text, paid before it is made. Objects, functions and generators are never written."""
    if isinstance(value, Undefined):
        return str(value)
    if not isinstance(value, str):
        _BUDGET.get().walk(value, to_write=True)
    return str(value)


def _of_text(change: Callable[[str], str]) -> Callable[[Any], str]:
    def changed(value: Any) -> str:
        text = _text(value)
        _BUDGET.get().pay(len(text))
        return change(text)

    return changed


@pass_context  # so that Jinja does not work it out while it compiles
def _written(context: Context, value: Any) -> str:
    budget = _BUDGET.get()
    budget.check()
    text = _text(value)
    budget.pay(len(text))
    return text


@pass_context
def _template_data(context: Context, text: str) -> str:
    return text


@pass_context
def _checked(context: Context, value: Any) -> Any:
    _BUDGET.get().check()
    return value


@pass_context
def _held(context: Context, value: Any) -> Any:
    _BUDGET.get().walk(value, to_write=False)
    return value


@pass_context
def _steps(context: Context, values: Iterable[Any]) -> Iterator[Any]:
    budget = _BUDGET.get()
    for value in values:
        budget.step()
        yield value


@pass_context
def _concat(context: Context, parts: Iterable[Any]) -> str:
    texts = [_text(part) for part in parts]
    _BUDGET.get().pay(sum(map(len, texts)))
    return "".join(texts)


def _list(values: Iterable[Any]) -> list[Any]:
    found = list(islice(values, ELEMENTS + 1))
    _BUDGET.get().hold(len(found))
    return found


def _join(values: Iterable[Any], separator: Any = "", attribute: None = None) -> str:
    if attribute is not None:
        raise SecurityError("it joins by attribute, which chat templates have no need of")
    texts, between = [_text(value) for value in _list(values)], _text(separator)
    _BUDGET.get().pay(sum(map(len, texts)) + len(texts) * len(between))
    return between.join(texts)


def _replace(text: Any, old: Any, new: Any, count: int = -1) -> str:
    whole, before, after = _text(text), _text(old), _text(new)
    _BUDGET.get().pay(len(whole) + whole.count(before) * len(after))
    return whole.replace(before, after, count)


def _trim(value: Any, characters: str | None = None) -> str:
    return _text(value).strip(characters)


def _tojson(value: Any, indent: int | None = None) -> str:
    if indent is not None and not 0 <= indent <= MAX_INDENT:
        raise SecurityError(f"it indents by {indent}")
    _BUDGET.get().walk(value, to_write=True)
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    _BUDGET.get().pay(len(text))
    return text


_OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "capitalize": _of_text(str.capitalize),
    "lower": _of_text(str.lower),
    "string": _of_text(str),
    "title": _of_text(str.title),
    "upper": _of_text(str.upper),
    "join": _join,
    "list": _list,
    "replace": _replace,
    "tojson": _tojson,
    "trim": _trim,
}
# Reached only through the names that `_Counting` writes into the tree, which no template can spell.
_HIDDEN_FILTERS = {
    " checked": _checked,
    " concat": _concat,
    " data": _template_data,
    " held": _held,
    " steps": _steps,
}


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def guarded(*values: Any, **named: Any) -> Any:
        _BUDGET.get().check()
        return function(*values, **named)

    return guarded


def _through(name: str, node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(cast(nodes.Expr, node), f" {name}", [], [], None, None, lineno=node.lineno)


class _Counting(NodeTransformer):
    """Sends everything that costs and is no call through a filter that counts, and refuses what templates do not need."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - jinja's naming
        if node.recursive:
            raise SecurityError("it has a recursive loop")
        self.generic_visit(node)
        node.iter = _through("steps", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802
        self.generic_visit(node)
        return _through("concat", nodes.List(node.nodes, lineno=node.lineno))

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Filter:  # noqa: N802
        return _through("data", nodes.Const(node.data, lineno=node.lineno))

    def visit_Compare(self, node: nodes.Compare) -> nodes.Filter:  # noqa: N802
        self.generic_visit(node)
        return _through("checked", node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _through("checked", node) if isinstance(node.arg, nodes.Slice) else node

    def visit_List(self, node: nodes.List) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _through("held", node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _through("held", node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _through("held", node) if node.ctx == "load" else node

    def _refused(self, node: nodes.Node) -> nodes.Node:
        raise SecurityError(f"it uses {type(node).__name__.lower()}, which chat templates have no need of")

    visit_Include = visit_Import = visit_FromImport = visit_Extends = visit_ScopedEvalContextModifier = _refused  # noqa: N815


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja as `homeroom.models.template` uses it. Render inside `spend`."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"], finalize=_written)
        known: dict[str, Any] = dict(self.filters)
        kept = {name: known[name] for name in _FILTERS}
        self.filters = {name: _guarded(function) for name, function in {**kept, **_OWN_FILTERS}.items()} | _HIDDEN_FILTERS
        tests: dict[str, Any] = dict(self.tests)
        self.tests = {name: _guarded(tests[name]) for name in _TESTS}
        self.globals = {"range": self.globals["range"], "namespace": self.globals["namespace"], "raise_exception": _refuse}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Parts that can be called exist on texts, mappings and Jinja's own objects only: numbers have ``to_bytes``."""
        if callable(value) and not isinstance(obj, _JINJA_OBJECTS):
            allowed = next((names for kind, names in _METHODS.items() if isinstance(obj, kind)), frozenset())
            if attr not in allowed:
                return False
        return bool(super().is_safe_attribute(obj, attr, value))

    def wrap_str_format(self, value: Any) -> None:
        """No special case for ``str.format``, whose widths cost memory: it falls under `is_safe_attribute` like all methods."""

    # Positional, as in Jinja: a template's keyword arguments may have any name.
    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """A call, paid as a step; a method of a text also by the text's length."""
        budget = _BUDGET.get()
        budget.step()
        budget.check()
        text = getattr(__obj, "__self__", None)
        if isinstance(text, str):
            budget.pay(len(text))
            if __obj.__name__ in ("split", "splitlines"):
                separator = args[0] if args and isinstance(args[0], str) and args[0] else None
                budget.hold(text.count(separator) + 1 if separator else len(text) // 2 + 1)
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """``+``, ``*``, ``%``: paid by what they make, before they make it."""
        budget = _BUDGET.get()
        budget.check()
        containers = [value for value in (left, right) if isinstance(value, str | list | tuple)]
        if operator == "**" or (operator == "%" and containers):
            raise SecurityError(f"it uses {operator!r}, which chat templates have no need of")
        if operator == "+":
            for value in containers:
                _pay_for(budget, value, 1)
        elif operator == "*":
            if containers:
                times = left if isinstance(left, int) else right
                _pay_for(budget, containers[0], max(times, 0) if isinstance(times, int) else CHARACTERS)
            elif sum(value.bit_length() for value in (left, right) if isinstance(value, int)) > MAX_BITS:
                raise SecurityError("it multiplies numbers that are too large")
        return super().call_binop(context, operator, left, right)


def _pay_for(budget: Budget, value: str | list[Any] | tuple[Any, ...], times: int) -> None:
    if isinstance(value, str):
        budget.pay(len(value) * times)
    elif times:
        budget.hold(len(value) * times)
        budget.walk(value, to_write=False)
