"""``homeroom tune show-prompt`` of an ensemble: every member is written, and how their replies become one."""

from __future__ import annotations

import json
from pathlib import Path

from homeroom.app.home import Homeroom
from homeroom.models.prompt_program import PromptProgram
from homeroom.schema.models import TunedModel

NAME = "ft:school/large:homeroom:three:abcd1234"


def test_all_prompts_of_an_ensemble_are_written_with_the_rule_that_joins_them(homeroom):
    members = tuple(PromptProgram(f"Guide, way {number}.") for number in (1, 2, 3))
    with Homeroom.open() as home:
        with home.artifacts.write("model") as draft:
            PromptProgram(members=members).save(draft.folder)
        about = {"method": "dspy", "kind": "prompt", "task": "tutor", "suffix": "three", "suitability": "trainee"}
        home.registry.register(TunedModel(NAME, "school/large", "x", artifact=draft.id, **about))
    told = homeroom("tune", "show-prompt", "three", "--question", "Why?", "--output", "prompt.json")
    assert told.code == 0, told.err
    assert "those of 3 prompts: send each, and take the middle reply" in told.out
    written = json.loads(Path("prompt.json").read_text("utf-8"))
    assert [member[0]["content"] for member in written["members"]] == [f"Guide, way {number}." for number in (1, 2, 3)]
    assert all(member[-1] == {"role": "user", "content": "Why?"} for member in written["members"])
    assert "shares most words with the others" in written["rule"]
