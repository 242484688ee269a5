"""Signatures of a user's own, and recipes of the method ``dspy``."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeroom.errors import ConfigError, HomeroomError
from homeroom.models.json_schema import engine_schema
from homeroom.tuning.dspy.own import program_named
from homeroom.tuning.dspy.recipe import SEVERAL, DspyRecipe
from homeroom.tuning.dspy.shipped import SHIPPED
from homeroom.tuning.dspy.spec import ProgramSpec
from homeroom.tuning.recipe_file import dump_recipe, load_recipes, load_runs

pytest.importorskip("dspy")

OWN = """
import datetime
from typing import Annotated, Literal
import dspy
from pydantic import Field

class Explain(dspy.Signature):
    \"\"\"Explain the word to a child.\"\"\"
    word: str = dspy.InputField(desc="a word of the lesson")
    history: dspy.History = dspy.InputField()
    grade: int = dspy.InputField()
    explanation: str = dspy.OutputField(desc="two sentences")
    level: Literal["easy", "hard"] = dspy.OutputField()
    examples: list[str] = dspy.OutputField()

class Nested(dspy.Signature):
    \"\"\"No prompt holds this.\"\"\"
    word: str = dspy.InputField()
    found: dict[str, list[int]] = dspy.OutputField()

class Bounded(dspy.Signature):
    \"\"\"Grade it.\"\"\"
    text: str = dspy.InputField(max_length=500)
    kind: Literal["essay"] = dspy.OutputField()
    points: int = dspy.OutputField(ge=1, le=5)
    share: Annotated[float, Field(gt=0)] = dspy.OutputField()
    words: Annotated[list[Literal["new"]], Field(max_length=3)] = dspy.OutputField()

class Dated(dspy.Signature):
    \"\"\"When was it?\"\"\"
    event: str = dspy.InputField()
    day: datetime.date = dspy.OutputField()

class Coded(dspy.Signature):
    \"\"\"Give codes.\"\"\"
    event: str = dspy.InputField()
    codes: list[Annotated[str, Field(pattern="^[A-Z]+$")]] = dspy.OutputField()

class Bare(dspy.Signature):
    \"\"\"Nothing goes in.\"\"\"
    history: dspy.History = dspy.InputField()
    said: str = dspy.OutputField()

number = 7
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_words.py").write_text(OWN)
    (tmp_path / "my_broken.py").write_text("raise RuntimeError('not today')")
    return tmp_path


@pytest.mark.parametrize("name", ["my_words.py:Explain", "my_words:Explain"])
def test_a_signature_of_ones_own_becomes_plain_data(folder, name):
    spec = program_named(name, folder)
    assert [field.name for field in spec.inputs] == ["word", "grade"]
    assert (spec.inputs[0].about, spec.instructions) == ("a word of the lesson", "Explain the word to a child.")
    assert [dict(field.kind) for field in spec.outputs] == [
        {"type": "string"},
        {"enum": ["easy", "hard"], "type": "string"},
        {"items": {"type": "string"}, "type": "array"},
    ]
    assert ProgramSpec.from_dict(spec.to_dict()) == spec
    assert spec.told(spec.instructions).splitlines()[2:] == [
        "Answer with a JSON object of these fields:",
        "- explanation (text): two sentences",
        '- level ("easy" or "hard"): level',
        "- examples (list of text): examples",
    ]


def test_constants_and_bounds_are_told_and_kept_to(folder):
    spec = program_named("my_words.py:Bounded", folder)
    assert [dict(field.kind) for field in spec.outputs] == [
        {"type": "string", "enum": ["essay"]},
        {"type": "integer", "minimum": 1, "maximum": 5},
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "array", "items": {"type": "string", "enum": ["new"]}, "maxItems": 3},
    ]
    assert spec.told("").splitlines()[1:] == [
        '- kind ("essay"): kind',
        "- points (whole number, at least 1, at most 5): points",
        "- share (number, above 0): share",
        '- words (list of "new", 3 or fewer): words',
    ]
    pytest.importorskip("llguidance")
    assert spec.fields is not None
    assert engine_schema(spec.fields.schema, strict=True)["properties"] == spec.fields.schema["properties"]


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("my_words.py:Nothing", "signature-path", "not there"),
        ("my_words.py:number", "signature-path", "is int"),
        ("nowhere.py:Explain", "signature-path", "nowhere.py"),
        ("no_such_module:Explain", "signature-path", "no_such_module"),
        ("my_broken.py:Explain", "signature-path", "RuntimeError: not today"),
        ("my_words.py:Nested", "signature-fields", "'found'"),
        ("my_words.py:Bare", "signature-fields", "0 input"),
        ("my_words.py:Dated", "signature-fields", "'day' of 'my_words.py:Dated' asks for format = 'date'"),
        ("my_words.py:Coded", "signature-fields", "'codes' of 'my_words.py:Coded' asks for pattern = '^[A-Z]+$'"),
        ("anser", "unknown-program", "feedback_learner"),
    ],
)
def test_what_is_no_usable_signature_is_refused(folder, name, code, said):
    with pytest.raises(HomeroomError) as told:
        program_named(name, folder)
    assert told.value.code == code and said in told.value.message


def test_a_fingerprint_tells_programs_apart():
    assert len({spec.fingerprint for spec in SHIPPED}) == len(SHIPPED)
    assert program_named("feedback-learner").name == "feedback_learner"


def test_the_bundled_recipe_names_every_setting_and_changes_none_by_accident():
    (recipe,) = load_runs(Path("recipes/prompt.yaml"))
    assert isinstance(recipe, DspyRecipe) and recipe.tried == SEVERAL
    assert set(recipe.model_fields_set) >= {"max_calls", "demonstrations", "candidates", "items", "optimisers"}
    assert recipe.model_copy(update={"prompt_model": "school/wise"}).tried == (*SEVERAL, "gepa", "mipro")


def test_a_recipe_reads_back_as_it_was_written(tmp_path):
    recipe = DspyRecipe(name="own", program="learner", task="learner", optimisers=("plain", "labelled"), max_calls=7)
    (tmp_path / "own.yaml").write_text(dump_recipe(recipe))
    assert load_runs(tmp_path / "own.yaml") == [recipe]


def test_mistakes_of_a_recipe_are_told_together(tmp_path):
    (tmp_path / "bad.yaml").write_text("method: dspy\nmax_cals: 5\noptimisers: [plain, bootstrp]\nthreshold: 2\n")
    with pytest.raises(ConfigError) as told:
        load_runs(tmp_path / "bad.yaml")
    text = told.value.message
    assert "3 mistakes" in text and "did you mean 'max_calls'?" in text
    assert "threshold = 2: must be a number above 0 and at most 1" in text and "'bootstrp'" in text


def test_where_weights_are_trained_a_prompts_recipe_is_refused():
    with pytest.raises(ConfigError) as told:
        load_recipes(Path("recipes/prompt.yaml"))
    assert told.value.code == "recipe-method"


def test_no_instructions_are_none_and_not_dspy_s_own():
    library = pytest.importorskip("homeroom.tuning.dspy.library")
    for spec in SHIPPED:
        assert library.program_of(spec, "").signature.instructions == ""
        assert library.program_of(spec).signature.instructions == spec.instructions
        asked = library.SpecAdapter(spec).format(library.signature_of(spec, ""), [], {spec.main: "Why?"})
        assert not any("Given the fields" in message["content"] for message in asked)
