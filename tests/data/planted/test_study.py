"""The study's own rules: who plants knows no rule, every rule has defects planted for it, and the halves do not change."""

from __future__ import annotations

import ast
import importlib.util
import random
from pathlib import Path
from types import ModuleType

import pytest

from homeroom.data.lint.registry import all_rules
from tests.data.planted.plant import KINDS, PER_KIND, cases
from tests.data.planted.sources import Sources, shared_data

HERE = Path(__file__).parent
SHARED = shared_data()
with_data = pytest.mark.skipif(SHARED is None, reason="the shared data is not here; set HOMEROOM_SHARED_DATA")


def study() -> ModuleType:
    path = HERE.parents[2] / "benchmarks" / "data_rules_study.py"
    spec = importlib.util.spec_from_file_location("data_rules_study", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_who_plants_knows_no_rule() -> None:
    for path in HERE.glob("*.py"):
        if path.name.startswith("test_"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.startswith("homeroom")], path.name


@with_data
def test_every_rule_is_planted_for_and_the_halves_are_halves() -> None:
    assert SHARED is not None
    made = list(cases(Sources(SHARED)))
    expected = study().EXPECTED
    assert set(expected) == set(KINDS)
    names = {rule.about.name for rule in all_rules()}
    assert not names - {name for wanted in expected.values() for name in wanted}
    assert len(made) == len(KINDS) * PER_KIND >= 300
    assert all(any(name in names for name in wanted) for wanted in expected.values())
    for kind in KINDS:
        assert sorted(case.half for case in made if case.kind == kind) == ["frozen"] * 5 + ["tuning"] * 5
    assert [case.id for case in made if case.half == "frozen"] == [c.id for c in cases(Sources(SHARED)) if c.half == "frozen"]


@with_data
def test_planting_changes_no_source() -> None:
    assert SHARED is not None
    sources = Sources(SHARED)
    before = [sources.any(random.Random(n)) for n in range(20)]
    list(cases(sources))
    assert [sources.any(random.Random(n)) for n in range(20)] == before
