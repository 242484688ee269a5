"""Chat templates that run code, never end, or fill the memory. Each is refused; none may cost a second of processor time."""

from __future__ import annotations

_BIG = "{% set big = 'ab' * 1500000 %}"
_DEEP = 60

RUN_CODE = {
    "attribute escape to __globals__": "{{ namespace.__init__.__globals__['__builtins__']['__import__']('os').system('touch CANARY') }}",
    "class walk": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "cycler": "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}",
    "lipsum": "{{ lipsum.__globals__['os'].popen('touch CANARY').read() }}",
    "joiner": "{{ joiner.__init__.__globals__.os.system('touch CANARY') }}",
    "import": "{% import 'os' as os %}{{ os.system('touch CANARY') }}",
    "import from": "{% from 'os' import system %}{{ system('touch CANARY') }}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{% extends '/etc/passwd' %}",
    "attr filter": "{{ ''|attr('__class__') }}",
    "map to an attribute": "{{ messages|map(attribute='__class__')|map(attribute='__mro__')|list|string }}",
    "function internals": "{{ raise_exception.__code__.co_consts }}",
    "macro internals": "{% macro m() %}{% endmacro %}{{ m._environment.globals }}",
    "self": "{{ self._TemplateReference__context.environment }}",
    "undefined internals": "{{ nothing.__init__.__globals__ }}",
    "loop internals": "{% for m in messages %}{{ loop.cycle.__globals__.x }}{% endfor %}",
    "format string": "{{ '{0.__class__.__init__.__globals__}'.format(namespace) }}",
    "format map": "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "change the messages": "{{ messages.append(messages) }}",
}

NEVER_END = {
    "huge range": "{% for i in range(1000000000000) %}{% endfor %}",
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "loops over the letters of a text": _BIG
    + "{% for a in big %}{% for b in big %}{% for c in big %}{% endfor %}{% endfor %}{% endfor %}",
    "macro that calls itself twice": "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "block that shows itself": "{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}",
    "recursive loop": "{% for a in messages recursive %}{{ loop(messages) }}{{ loop(messages) }}{% endfor %}",
    "lists without a loop body": "{% for i in range(99999) %}{% set x = range(99999)|list %}{% endfor %}",
    "last of a range": "{% for i in range(99999) %}{% set x = range(99999)|map('string')|join %}{% endfor %}",
    "search again and again": _BIG + "{% for i in range(99999) %}{% if 'zz' in big %}{% endif %}{% endfor %}",
    "search without a loop": _BIG + "{% if 'zz' in big %}{% endif %}" * 1400,
    "search in a filter": _BIG + "{{ range(99999)|map('string')|select('in', big)|list }}",
    "slices": _BIG + "{% for i in range(99999) %}{% set y = big[::-1] %}{% endfor %}",
    "counting in a range": "{% for i in range(99999) %}{% set y = range(99999).count('x') %}{% endfor %}",
    "numbers squared": f"{{% set ns = namespace(x=99) %}}{{% for i in range({_DEEP}) %}}{{% set ns.x = ns.x * ns.x %}}{{% endfor %}}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "own budget": (
        "{% macro f(x) %}{% endmacro %}{% set homeroom_budget = namespace(step=f, pay=f) %}"
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    ),
}


def _repeated(change: str, start: str = "'aa'") -> str:
    return f"{{% set ns = namespace(x={start}) %}}{{% for i in range({_DEEP}) %}}{change}{{% endfor %}}{{{{ ns.x }}}}"


GROW = {
    "doubling": _repeated("{% set ns.x = ns.x ~ ns.x %}"),
    "adding": _repeated("{% set ns.x = ns.x + ns.x %}"),
    "replacing": _repeated("{% set ns.x = ns.x|replace('a', 'aa') %}"),
    "block set": _repeated("{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"),
    "macro of a macro": "{% macro d(s) %}{{ s }}{{ s }}{% endmacro %}{{ " + "d(" * 40 + "'aaaa'" + ")" * 40 + " }}",
    "lists that share their parts": _repeated("{% set ns.x = [ns.x, ns.x] %}", "[1]"),
    "such lists compared": (
        "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}"
        "{% endfor %}{{ ns.x == ns.y }}"
    ),
    "tuples as keys": _repeated("{% set ns.x = (ns.x, ns.x) %}", "(1,)") + "{{ {ns.x: 1} }}",
    "mappings that share their parts": _repeated("{% set ns.x = {'a': ns.x, 'b': ns.x} %}", "{}"),
    "namespaces that share their parts": _repeated("{% set ns.x = namespace(a=ns.x, b=ns.x) %}", "namespace()"),
    "repeated text": "{{ 'a' * 10000000000 }}",
    "repeated list": "{{ [1] * 1000000000 }}",
    "joining": "{% set s = 'a' * 9000 %}{{ range(90000)|map('string')|join(s) }}",
    "json of json": "{{ range(99999)|list|tojson|list|tojson|list|tojson|list|tojson }}",
    "indent": "{{ [1]|tojson(indent=1000000000) }}",
    "bytes of a number": "{{ (1).to_bytes(1000000000) }}",
    "padding": "{{ 'a'.ljust(9999999999) }}",
    "centre": "{{ 'a'|center(9999999999) }}",
    "width": "{{ '%9999999999s' % 1 }}",
    "format width": "{{ '{0:9999999999}'.format(1) }}",
    "text between": "{% for i in range(99999) %}" + "x" * 40_000 + "{% endfor %}",
    "splitting": _BIG + "{% for i in range(99999) %}{% set y = big.split('a') %}{% endfor %}",
}

MALFORMED = {
    "syntax": "{% for %}",
    "blocks nested too deep for Python": "{% for i in messages %}" * 25 + "{% endfor %}" * 25,
    "brackets nested too deep": "{{ " + "[" * 20_000 + "1" + "]" * 20_000 + " }}",
    "thousands of branches": "{% if 0 %}" + "{% elif 0 %}" * 4000 + "{% endif %}",
    "number of many digits": "{{ " + "9" * 40_000 + " }}",
    "half a character": "{{ '\\ud800' }}",
    "too long": "x" * 50_001,
    "not closed": "{{ '" + "\\" * 40_000,
}

HOSTILE = {**RUN_CODE, **NEVER_END, **GROW, **MALFORMED}
