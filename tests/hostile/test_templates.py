"""Every hostile template is refused within a second of processor time, and what published templates do still works."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from homeroom.errors import ConfigError
from homeroom.models import template
from tests.hostile.templates import HOSTILE

USER = [{"role": "user", "content": "hi"}]


class TooLongError(BaseException):
    """No `Exception`: what is under test catches those."""


@pytest.fixture
def a_minute_of_cpu() -> Iterator[None]:
    """Ends a test that would hang: a backstop for when the budget fails, far above what any machine needs to compile a template."""

    def too_long(number: int, frame: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, 60.0)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_template_is_refused(source, a_minute_of_cpu, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        template.render(source, USER, {})
    assert caught.value.code == "chat-template"
    assert len(caught.value.message) < 400
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_there_are_hostile_templates_of_every_kind() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("{{ [1, 'a', none, true]|string }}", "[1, 'a', None, True]"),
        ("{{ {'a': [1, 2]}|tojson(indent=2) }}", '{\n  "a": [\n    1,\n    2\n  ]\n}'),
        ("{% set x %}a{{ 1 }}b{% endset %}{{ x }}{{ x|length }}", "a1b3"),
        ("{% macro m(a, b='-') %}{{ a }}{{ b }}{% endmacro %}{{ m('x') }}{{ m('y', b='+') }}", "x-y+"),
        ("{% macro m() %}({{ caller() }}){% endmacro %}{% call m() %}in{% endcall %}", "(in)"),
        ("{% for a, b in {'x': 1, 'y': 2}.items() %}{{ a }}{{ b }}{{ loop.length }}{% endfor %}", "x12y22"),
        ("{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i > 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "023"),
        ("{{ 'a,b'.split(',')[-1] }}{{ 'a</think>b'.split('</think>')[-1].lstrip('\\n') }}", "bb"),
        ("{{ messages[::-1][0].content }}{{ (messages[:1] + messages)|length }}", "hi2"),
        ("{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|join(', ') }}", "hi"),
        ("{{ 'A' if 'h' in messages[0].content and messages[0].role is string else 'B' }}", "A"),
        ("{{ 7 % 4 }}{{ 3 * 4 }}{{ '-' * 3 }}{{ 7 // 2 }}{{ -1 }}", "312---3-1"),
        ("{% set ns = namespace(a=1) %}{% set ns.a = ns.a + 1 %}{{ ns.a }}{{ x is defined }}{{ x|default('d') }}", "2Falsed"),
        ("{{ ['b', 'a']|first }}{{ ['b', 'a']|last }}{{ ' x '|trim }}{{ 'aXa'|replace('a', 'b') }}", "baxbXb"),
    ],
)
def test_what_published_templates_use_is_written_as_jinja_does(source: str, written: str) -> None:
    assert template.render(source, USER, {}) == written


def test_a_long_honest_conversation_fits_the_budget() -> None:
    source = "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] + '\\n' }}{% endfor %}"
    messages = [{"role": "user", "content": "word " * 400}] * 500
    assert len(template.render(source, messages, {})) == 500 * (len("<user>") + 2000 + 1)
