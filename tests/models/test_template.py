"""Chat templates: what published ones need works, what hostile ones try does not."""

from __future__ import annotations

import time

import pytest

from homeroom.errors import ConfigError
from homeroom.models import template, template_sandbox

USER = [{"role": "user", "content": "hi"}]

HOSTILE = {
    "huge range": "{% for i in range(1000000000000) %}{% endfor %}",
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "nested loops over text": "{% set t = 'a' * 5000 %}{% for a in t %}{% for b in t %}{% for c in t %}{% endfor %}{% endfor %}{% endfor %}",
    "doubling": "{% set ns = namespace(x='aa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "adding": "{% set ns = namespace(x='aa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    "replacing": "{% set ns = namespace(x='aa') %}{% for i in range(60) %}{% set ns.x = ns.x | replace('a', 'aa') %}{% endfor %}",
    "joining": "{% set s = 'a' * 9000 %}{{ range(90000) | map('string') | join(s) }}",
    "json of json": "{{ range(100000)|list|tojson|list|tojson|list|tojson|list|tojson }}",
    "repeated text": "{{ 'a' * 10000000000 }}",
    "repeated list": "{{ [1] * 1000000000 }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "width": "{{ '%9999999999s' % 1 }}",
    "padding": "{{ 'a'.ljust(9999999999) }}",
    "centre filter": "{{ 'a' | center(9999999999) }}",
    "format": "{{ '{0:9999999999}'.format(1) }}",
    "class": "{{ ''.__class__.__mro__ }}",
    "attr filter": "{{ messages[0] | attr('__class__') }}",
    "globals": "{{ namespace.__init__.__globals__ }}",
    "budget": "{{ homeroom_budget.pay(-9999999999) }}",
    "import": "{% import 'os' as os %}",
    "include": "{% include '/etc/passwd' %}",
    "recursive macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "recursive loop": "{% for a in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "syntax": "{% for %}",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_template_is_refused(source):
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        template.render(source, USER, {})
    assert caught.value.code == "chat-template"
    assert time.monotonic() - started < 20  # a hang, not a speed: an unlimited one would run for hours


def test_a_template_cannot_change_what_it_is_given():
    messages = [{"role": "user", "content": "hi"}]
    with pytest.raises(ConfigError):
        template.render("{{ messages.append(1) }}", messages, {})
    with pytest.raises(ConfigError):
        template.render("{{ messages[0].update({'role': 'system'}) }}", messages, {})
    assert messages == USER


def test_what_published_templates_use_works():
    source = (
        "{%- set ns = namespace(found=false) -%}"
        "{%- if messages[0]['role'] == 'system' -%}{%- set system = messages[0]['content'] | trim -%}"
        "{%- set messages = messages[1:] -%}{%- else -%}{%- set system = '' -%}{%- endif -%}"
        "{{- bos_token ~ '[' + system + ']' }}"
        "{%- for message in messages -%}{%- if loop.last -%}{%- set ns.found = true -%}{%- endif -%}"
        "{%- if message.content is string -%}{{- message.role | upper + ':' + message['content'].strip() }}{%- endif -%}"
        "{%- if loop.index0 % 2 == 1 -%}{{- ',' }}{%- continue -%}{%- endif -%};{%- endfor -%}"
        "{{- '!' if ns.found and tools is not defined and not enable_thinking }}{{- {'a': 'ü'} | tojson }}"
    )
    messages = [{"role": "system", "content": " s "}, *USER, {"role": "assistant", "content": " b "}, *USER]
    assert template.render(source, messages, {"bos_token": "<s>"}) == '<s>[s]USER:hi;ASSISTANT:b,USER:hi;!{"a": "ü"}'


def test_its_own_refusal_is_passed_on():
    with pytest.raises(ConfigError, match="roles must alternate"):
        template.render("{{ raise_exception('roles must alternate') }}", USER, {})


def test_each_rendering_has_its_own_budget():
    for _ in range(5):
        assert template.render("{% for i in range(90000) %}{% endfor %}x", USER, {}) == "x"


class Clock:
    """Processor time of a thread that is slow wherever ``costs`` says: seconds for each look at it, in turn."""

    def __init__(self, *costs: float) -> None:
        self.now, self._costs = 0.0, iter(costs)

    def __call__(self) -> float:
        self.now += next(self._costs, 0.0)
        return self.now


def test_compiling_is_not_paid_from_the_rendering(monkeypatch):
    clock = Clock()
    compiled = template._compiled

    def slow(source):
        clock.now += 10 * template_sandbox.CPU_S
        return compiled(source)

    monkeypatch.setattr(template_sandbox.time, "thread_time", clock)
    monkeypatch.setattr(template, "_compiled", slow)
    assert template.render("{{ messages[0].content }}", USER, {}) == "hi"


def test_a_thread_that_is_held_up_once_renders_all_the_same(monkeypatch):
    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    template.render(source, USER, {})  # compiled from here on
    monkeypatch.setattr(template_sandbox.time, "thread_time", Clock(0.0, 0.0, 10.0))
    assert template.render(source, USER, {}) == "hi"
    monkeypatch.setattr(template_sandbox.time, "thread_time", Clock(*[10.0] * 100))
    with pytest.raises(ConfigError, match="computes for more than"):
        template.render(source, USER, {})
