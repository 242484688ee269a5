from __future__ import annotations

import pytest

from homeroom.chat.directory import ModelCard, default_card, find_card, resolve_card
from homeroom.chat.testing import MemoryDirectory, PacedChatModel
from homeroom.errors import NotFoundError


def directory(*cards: ModelCard) -> MemoryDirectory:
    return MemoryDirectory(*((card, PacedChatModel(card.name, lambda m: "ok")) for card in cards))


BASE = ModelCard("base")
TUTOR = ModelCard("ft:tutor", kind="tuned", task="tutor", created_at=2.0)
OLD_TUTOR = ModelCard("ft:old", kind="tuned", task="tutor", created_at=1.0)
REFUSED = ModelCard("ft:refused", kind="tuned", task="tutor", created_at=3.0, verdict="reject")
LEARNER = ModelCard("ft:learner", kind="tuned", task="learner")


@pytest.mark.parametrize(
    ("cards", "task", "name"),
    [
        ((BASE,), "tutor", "base"),
        ((BASE, OLD_TUTOR, TUTOR, LEARNER), "tutor", "ft:tutor"),
        ((BASE, TUTOR), "learner", "base"),
        ((LEARNER,), "tutor", "ft:learner"),
        ((ModelCard("other", default_for=("tutor",)), TUTOR), "tutor", "other"),
        ((BASE, OLD_TUTOR, REFUSED), "tutor", "ft:old"),
        ((BASE, REFUSED), "tutor", "base"),
        ((REFUSED,), "tutor", "ft:refused"),
    ],
)
def test_the_default_is_what_was_chosen_else_tuned_for_the_task_else_general(cards, task: str, name: str) -> None:
    assert default_card(directory(*cards), task).name == name


def test_without_any_model_the_message_names_the_command() -> None:
    with pytest.raises(NotFoundError, match="homeroom models pull") as caught:
        default_card(directory(), "tutor")
    assert caught.value.code == "no-model"


def test_a_name_is_found_or_refused() -> None:
    assert find_card(directory(BASE, TUTOR), "ft:tutor") is TUTOR
    assert resolve_card(directory(BASE, TUTOR), "base", "tutor") is BASE
    with pytest.raises(NotFoundError, match="'nobody'"):
        resolve_card(directory(BASE), "nobody", "tutor")
