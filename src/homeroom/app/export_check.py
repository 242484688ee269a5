"""Comparing an export with the model that it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from homeroom.app.engines import engine, engine_threads
from homeroom.errors import ConfigError, MissingExtraError
from homeroom.models.engine import EngineManager
from homeroom.models.engine_chat import loopback_client
from homeroom.models.engine_probe import Difference, Place, answer_places, difference
from homeroom.models.folder import special_ids
from homeroom.models.lora_gguf import CONFIG
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.runtime import spawn
from homeroom.schema.examples import Message
from homeroom.schema.models import BaseFiles

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

QUESTIONS = (
    "I think one half and one third is two fifths. Am I right?",
    "Why do plants need light?",
    "What is half of 14?",
    "Give me the answer, please.",
)
TOKENS = 12
NATS: Mapping[str, float] = {
    **dict.fromkeys(("f32", "f16", "bf16", "q8_0"), 0.2),
    **dict.fromkeys(("q5_1", "q5_0"), 0.5),
    **dict.fromkeys(("q4_1", "q4_0"), 0.9),
}
"""What the rounding of a number type explains, of `Difference.nats`; the original is in the engine's own format, 8 bits as a
rule. A wrong order of rows, or an adapter that is not there, is above 1 where the adapter matters."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found: whether it passed, in words, in numbers, and what a person should think about."""

    passed: bool
    text: str
    figures: Mapping[str, float | int | bool]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Original:
    """Places in the original's answers, and how far its base is from it there; None where there is no adapter."""

    places: Sequence[Place]
    base: Difference | None


def original_answers(home: Homeroom, files: BaseFiles, adapter: str | None, system: str) -> Original:
    """What the original says, in the engine that serves it here.

    Args:
        home: The open home.
        files: Its base, or its own weights.
        adapter: The tuned model's name; None for the weights alone.
        system: Its prompt.
    """
    prompts = [ids for _, ids in _conversations(files, system)]
    end = special_ids(files.weights).get("eos")
    with engine(home, files, wanted=[adapter] if adapter else ()) as resolve, loopback_client() as client:
        info = resolve(files.identity, adapter)
        places = answer_places(info, client, prompts, adapter=adapter, tokens=TOKENS, end=end)
        return Original(places, difference(info, client, places, adapter=None) if adapter else None)


def check_engine_file(home: Homeroom, files: BaseFiles, file: Path, original: Original, number: str) -> Checked:
    """Load an exported file in an engine of its own and compare it with the original.

    Raises:
        ProviderError: ``engine-start``: it cannot be loaded.
    """
    manager = EngineManager(
        replace(files, gguf=file),
        home=home.settings.home / "run" / "own",
        spawn=spawn,
        slots=1,
        context=home.settings.engine_context,
        threads=home.settings.threads or engine_threads(),
    )
    try:
        with loopback_client() as client:
            found = difference(manager.ensure(), client, original.places, adapter=None)
    finally:
        manager.stop()
    return _judged(found, original.base, number)


def _judged(found: Difference, base: Difference | None, number: str) -> Checked:
    text = f"loaded in the engine and compared with the original: {found.text()}"
    figures: dict[str, float | int | bool] = {"places": found.places, "same": found.same, "nats": round(found.nats, 6)}
    warnings = []
    if base is not None:
        figures["base_nats"] = round(base.nats, 6)
        text += f"; the untuned base differs by {base.nats:.4f}"
        if found.nats > base.nats / 2:
            warnings.append(
                f"Rounding to {number} changes the model about as much as tuning did ({found.nats:.3f} and {base.nats:.3f} nats "
                "a token): take more bits (--type f16), or judge the result before you rely on it."
            )
    return Checked(found.nats <= NATS[number], text, figures, tuple(warnings))


def check_merged(files: BaseFiles, adapter: Path | None, folder: Path, system: str, number: str) -> Checked:
    """Load merged weights with transformers and compare them with base and adapter.

    Raises:
        MissingExtraError: PyTorch, transformers or PEFT is not installed.
        ConfigError: ``export-kind``: the adapter was imported without PEFT's files.
    """
    require_merged(adapter)
    from homeroom.tuning.huggingface.cores import yield_cores_soon

    yield_cores_soon()  # before the next import brings PyTorch in
    from homeroom.tuning.huggingface.merged import logit_difference

    found = logit_difference(files, adapter, folder, _conversations(files, system))
    warnings = (
        () if found.same_tokens else ("transformers' own tokenizer gives other tokens for a chat than Homeroom: check it.",)
    )
    figures = {"logits": found.logits, "largest": found.largest, "spread": found.spread, "same_tokens": found.same_tokens}
    text = f"loaded with transformers and compared with the original: {found.text()}"
    return Checked(found.within(number), text, figures, warnings)


def require_merged(adapter: Path | None) -> None:
    """Refuse merged weights that could not be checked, before anything is written. Raises as `check_merged`."""
    for package in ("torch", "transformers", "peft"):
        if find_spec(package) is None:
            raise MissingExtraError("Exporting merged weights", package, "train")
    if adapter is not None and not (adapter / CONFIG).is_file():
        raise ConfigError(
            "The adapter was imported as GGUF, and merged weights are checked against PEFT's files of it. Export it as GGUF: "
            "--to gguf --type f32",
            code="export-kind",
        )


def _conversations(files: BaseFiles, system: str) -> list[tuple[Sequence[Message], Sequence[int]]]:
    tokenizer = ChatTokenizer(files.weights)
    prompt = [Message("system", system)] if system else []
    turns = [[*prompt, Message("user", question)] for question in QUESTIONS]
    return [(messages, tokenizer.prompt_ids(messages)) for messages in turns]
