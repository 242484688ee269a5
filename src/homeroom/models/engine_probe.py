"""Whether two models in engines are the same: what each finds likely next, at every token of the first one's own answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from homeroom.models.engine_chat import engine_wire
from homeroom.models.engine_info import EngineInfo

SHOWN, COMPARED = 200, 10
"""Likeliest tokens that an engine is asked for, and those of the original that are compared."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in an answer: the tokens before it, and the log-probability of the likeliest next ones, the likeliest first."""

    before: tuple[int, ...]
    likely: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a model is from the one whose answers these are.

    Attributes:
        places: Tokens that were compared.
        same: Of them, those at which both find the same token likeliest.
        nats: Mean over the places of how far the log-probabilities of the original's `COMPARED` likeliest tokens lie apart, each
            counted by its probability. 0 for the same model.
    """

    places: int
    same: int
    nats: float

    def text(self) -> str:
        """In words."""
        return f"{self.nats:.4f} nats a token, the same likeliest token at {self.same} of {self.places}"


def answer_places(
    info: EngineInfo, client: httpx.Client, prompts: Sequence[Sequence[int]], *, adapter: str | None, tokens: int, end: int | None
) -> list[Place]:
    """The greedy answers of a model, place by place.

    Args:
        info: Its engine.
        client: `homeroom.models.engine_chat.loopback_client`.
        prompts: Token ids of each prompt.
        adapter: Name of the adapter to apply; None for the base alone.
        tokens: Longest answer.
        end: The token that ends an answer.
    """
    places = []
    for prompt in prompts:
        ids = list(prompt)
        for _ in range(tokens):
            token, likely = _next(info, client, ids, adapter)
            if likely:
                places.append(Place(tuple(ids), tuple(likely[:COMPARED])))
            if token in (None, end):
                break
            ids.append(token)
    return places


def difference(info: EngineInfo, client: httpx.Client, places: Sequence[Place], *, adapter: str | None) -> Difference:
    """What another model finds likely at the same places; arguments as for `answer_places`."""
    same, total, compared = 0, 0.0, 0
    for place in places:
        _, likely = _next(info, client, place.before, adapter)
        if not likely:
            continue
        compared += 1
        found, least = dict(likely), likely[-1][1]
        shares = [(math.exp(known), abs(known - found.get(token, least))) for token, known in place.likely]
        total += sum(share * apart for share, apart in shares) / sum(share for share, _ in shares)
        same += likely[0][0] == place.likely[0][0]
    return Difference(len(places), same, total / max(1, compared))


def _next(
    info: EngineInfo, client: httpx.Client, ids: Sequence[int], adapter: str | None
) -> tuple[int | None, list[tuple[int, float]]]:
    """The likeliest token after ``ids``, and the likeliest ones with their log-probabilities.

    Of a token that is a part of a character the engine tells no probabilities, and of some not even the token.
    """
    body: dict[str, Any] = {  # JSON
        "prompt": list(ids),
        "temperature": 0,
        "n_predict": 1,
        "n_probs": SHOWN,
        "ignore_eos": False,
        "cache_prompt": False,
        "return_tokens": True,
        "lora": [{"id": index, "scale": 1.0 if name == adapter else 0.0} for name, index in info.adapters.items()],
    }
    answer = engine_wire(info, client, api="").post("/completion", body)
    told = answer.get("completion_probabilities") or []
    likely = [(int(one["id"]), max(-1e9, float(one["logprob"]))) for one in told[0]["top_logprobs"]] if told else []
    tokens = answer.get("tokens") or [token for token, _ in likely[:1]]
    return (int(tokens[0]) if tokens else None), likely
