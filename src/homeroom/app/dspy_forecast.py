"""What a search for a prompt will take: calls, tokens, money and time of each model that it asks, expected and at most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homeroom.app.call_speed import Speed, speed_of
from homeroom.app.endpoints import endpoint_of
from homeroom.app.metering import price_at
from homeroom.app.sizes import REQUEST_BYTES, SCHEMA_BYTES
from homeroom.ledger.prices import Price
from homeroom.tuning.dspy.expected import Calls, expected_calls
from homeroom.tuning.dspy.recipe import DspyRecipe, Part
from homeroom.tuning.dspy.spec import ProgramSpec

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.tuning.dspy.task import Material

CHARACTERS_A_TOKEN = 4  # of English text, roughly: an endpoint's tokenizer is not here
WRITER_CHARACTERS, WRITER_SHOWN = 2000, 6  # of a question to the model that writes instructions, and the examples in it
DISK_A_CALL_BYTES = 4096  # a kept reply
WRITER_BYTES = 20_000  # of one that is held
USUAL_SHARE = 2 / 3  # of the longest reply that is allowed: with a small base 75 of 96 tokens, and 225 of 256
WRITER_REPLY, WRITER_MOST = 400, 2000  # tokens of what it writes: usual, and at most
START_S = 3.0  # until the first call: DSPy is imported and an engine starts
DOES: Mapping[Part, str] = {"task": "answers", "teacher": "teaches", "writer": "writes instructions"}
Json = dict[str, Any]  # what is told of a forecast


@dataclass(frozen=True, slots=True)
class Asking:
    """What one model is asked in a search. Tokens are of one call, money of one call in US dollars.

    Attributes:
        part: Why it is asked.
        model: ``ENDPOINT/MODEL``, or a base here.
        calls: Within the budget.
        prompt_tokens: Usual; ``reply_tokens`` as well.
        usd: Usual; ``most_usd`` is what is held for a call before it is sent.
        counted: Whether its calls cost money.
        priced: Whether its price is known, where they do.
        speed: Seconds of a call.
    """

    part: Part
    model: str
    calls: Calls
    prompt_tokens: float
    reply_tokens: float
    usd: float
    most_usd: float
    counted: bool
    priced: bool
    speed: Speed

    @property
    def tokens(self) -> float:
        """Of all usual calls."""
        return self.calls.usual * (self.prompt_tokens + self.reply_tokens)

    def to_dict(self) -> Json:
        """What a plan tells of it."""
        calls, speed = self.calls, self.speed
        return {
            "part": self.part,
            "model": self.model,
            "does": DOES[self.part],
            "calls": round(calls.usual),
            "calls_low": round(calls.low),
            "calls_most": round(calls.most),
            "tokens": round(self.tokens),
            "cost_usd": round(calls.usual * self.usd, 6),
            "counted": self.counted,
            "priced": self.priced,
            "seconds": round(speed.seconds, 3),
            "seconds_low": round(speed.low_s, 3),
            "seconds_high": round(speed.high_s, 3),
            "known_from_calls": speed.calls,
        }


@dataclass(frozen=True, slots=True)
class SearchForecast:
    """What a search will take.

    Attributes:
        asked: Who is asked what.
        max_calls: The budget, of all of them together.
        concurrency: Requests at a time.
    """

    asked: tuple[Asking, ...]
    max_calls: int
    concurrency: int

    @property
    def calls(self) -> float:
        """Expected."""
        return sum(one.calls.usual for one in self.asked)

    @property
    def most_calls(self) -> int:
        """The most that will be made: the budget is held."""
        return min(self.max_calls, math.ceil(sum(one.calls.most for one in self.asked) - 1e-6))

    @property
    def disk_bytes(self) -> int:
        """Of the replies that are kept, at most."""
        return self.most_calls * DISK_A_CALL_BYTES

    @property
    def counted(self) -> bool:
        """Whether any of it costs money."""
        return any(one.counted for one in self.asked)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Models whose price is not known."""
        return tuple(one.model for one in self.asked if not one.priced)

    @property
    def usd(self) -> float:
        """Expected."""
        return round(sum(one.calls.usual * one.usd for one in self.asked), 6)

    @property
    def most_usd(self) -> float:
        """What is held: as many calls of the dearest model as it can get, then of the next one."""
        left, usd = float(self.most_calls), 0.0
        for one in sorted(self.asked, key=lambda one: -one.most_usd):
            calls = min(left, math.ceil(one.calls.most))
            usd, left = usd + calls * one.most_usd, left - calls
        return math.ceil(usd * 1e6) / 1e6

    @property
    def time_s(self) -> tuple[float, float, float]:
        """Seconds: low, expected, high. What is asked side by side takes its share of the time."""
        took = [(one, one.calls.in_turn + (one.calls.usual - one.calls.in_turn) / self.concurrency) for one in self.asked]
        usual = sum(turns * one.speed.seconds for one, turns in took)
        if not usual:
            return (0.0, 0.0, 0.0)
        calls_low = sum(one.calls.low for one in self.asked) / self.calls
        speed_low = sum(turns * one.speed.low_s for one, turns in took) / usual
        speed_high = sum(turns * one.speed.high_s for one, turns in took) / usual
        calls_high = self.most_calls / self.calls
        low, high = _both(max(calls_low, 0.05), speed_low), _both(max(calls_high, 1.0), speed_high)
        return (usual / low, START_S + usual, START_S + usual * high)

    def to_dict(self) -> Json:
        """What is kept with the model, to be set beside what the search took."""
        low, usual, high = self.time_s
        return {
            "calls": round(self.calls),
            "calls_low": round(sum(one.calls.low for one in self.asked)),
            "calls_most": self.most_calls,
            "cost_usd": self.usd,
            "cost_high_usd": self.most_usd,
            "counted": self.counted,
            "priced": not self.unpriced,
            "time_s": round(usual, 1),
            "time_low_s": round(low, 1),
            "time_high_s": round(high, 1),
        }


def _both(calls: float, speed: float) -> float:
    """Two factors that do not depend on each other, as one: how far their product is off in four of five cases."""
    return math.exp(math.hypot(math.log(calls), math.log(speed)))


def forecast_search(home: Homeroom, recipe: DspyRecipe, spec: ProgramSpec, material: Material) -> SearchForecast:
    """What the search will take, without the training of weights.

    Args:
        home: The open home.
        recipe: What is run, its base named.
        spec: The program.
        material: What is worked on.
    """
    expected = expected_calls(recipe, len(material.pool), len(material.items), leave_one_out=material.leave_one_out)
    models: Mapping[Part, str] = {"task": recipe.base, **recipe.others}
    asked = []
    for part, calls in expected.items():
        name = models[part]
        speed = speed_of(home, name, _usual_reply(part, recipe))
        prompt, most, reply, longest = _sizes(part, recipe, spec, material, speed)
        if speed.reply_tokens > reply:  # known from longer replies than this recipe allows
            speed = speed.times(reply / speed.reply_tokens)
        price, counted = _price(home, name)
        usd = price.of(round(prompt), round(reply)) if price else 0.0
        held = price.of(most, longest) if price else 0.0
        asked.append(Asking(part, name, calls, prompt, reply, usd, held, counted, not counted or price is not None, speed))
    return SearchForecast(tuple(asked), recipe.max_calls, home.settings.engine_slots)


def made_before(home: Homeroom, recipe: DspyRecipe) -> SearchForecast:
    """The forecast of a search whose outcome is kept: it asks nobody."""
    return SearchForecast((), recipe.max_calls, home.settings.engine_slots)


def _price(home: Homeroom, name: str) -> tuple[Price | None, bool]:
    endpoint = endpoint_of(home.settings, name)
    return price_at(home, endpoint, name.partition("/")[2]) if endpoint is not None else (None, False)


def _sizes(part: Part, recipe: DspyRecipe, spec: ProgramSpec, material: Material, speed: Speed) -> tuple[float, int, float, int]:
    """Tokens of a question, usual and held, and of its reply, usual and at most. What is held takes each byte for a token."""
    pool, items, told = material.pool, material.items, len(spec.instructions)
    asked = sum(len(m.content) for item in items for m in item.prompt) / len(items)
    shown = sum(len(m.content) for item in pool for m in item.example.messages) / len(pool)
    if part == "writer":
        prompt = (WRITER_CHARACTERS + WRITER_SHOWN * shown) / CHARACTERS_A_TOKEN
        return prompt, WRITER_BYTES, speed.reply_tokens or _usual_reply(part, recipe), WRITER_MOST
    usual = (asked + told + shown * min(recipe.demonstrations, len(pool))) / CHARACTERS_A_TOKEN
    longest = max(sum(len(m.content.encode()) for m in item.prompt) for item in (*items, *pool))
    most = longest + len(spec.instructions.encode()) + len(recipe.system_prompt.encode()) + _shown_bytes(recipe, material)
    most += WRITER_MOST * CHARACTERS_A_TOKEN if "writer" in recipe.others else 0  # instructions that it wrote
    full = recipe.generation.max_tokens
    return usual, most + SCHEMA_BYTES + REQUEST_BYTES, min(speed.reply_tokens or _usual_reply(part, recipe), full), full


def _usual_reply(part: Part, recipe: DspyRecipe) -> float:
    """Tokens of a reply, where nothing tells."""
    return WRITER_REPLY if part == "writer" else recipe.generation.max_tokens * USUAL_SHARE


def _shown_bytes(recipe: DspyRecipe, material: Material) -> int:
    """Of the demonstrations of one request at most: the longest authored ones, or the budget where that is more."""
    sizes = sorted((sum(len(m.content.encode()) for m in item.example.messages) for item in material.pool), reverse=True)
    return max(recipe.budget_characters, sum(sizes[: recipe.demonstrations]))
