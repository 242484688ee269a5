"""The chat layer over a fresh database, with three models that answer by script."""

from __future__ import annotations

import pytest

from homeroom.chat.directory import ModelCard
from homeroom.chat.testing import Desk, MemoryDirectory, PacedChatModel, make_desk
from homeroom.storage import Database

TUTOR_SETTINGS = {"temperature": 0.5, "max_tokens": 64, "system_prompt": "You are a tutor."}


@pytest.fixture
def desk(database: Database) -> Desk:
    return make_desk(
        database,
        MemoryDirectory(
            (ModelCard("base", title="Base"), PacedChatModel("base", lambda m: "The answer is 5/6.")),
            (
                ModelCard("ft:tutor", kind="tuned", task="tutor", default_for=("tutor",), settings=TUTOR_SETTINGS),
                PacedChatModel("ft:tutor", lambda m: "What did you do first?"),
            ),
            (
                ModelCard("ft:learner", kind="tuned", task="learner", default_for=("learner",)),
                PacedChatModel("ft:learner", lambda m: "I added the tops."),
            ),
        ),
    )
