"""What is about to be spent at endpoints: told, agreed to, and only then begun. One rule for every method and every command.

Whatever asks an endpoint whose calls are counted (see `price_at`: what leaves this machine, or has a price of its own) has a
quote. Nobody is asked for what was made already or is under way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from homeroom.app.endpoints import endpoint_of, require_key
from homeroom.app.metering import price_at
from homeroom.app.sizes import REQUEST_BYTES, characters_of, json_bytes, most_bytes
from homeroom.app.tuning import CHARACTERS_A_TOKEN, job_of, plan_tuning
from homeroom.errors import ConfigError
from homeroom.models.prompt_program import PromptProgram
from homeroom.schema.examples import Message
from homeroom.schema.models import TunedModel
from homeroom.tuning.dspy.recipe import DspyRecipe
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.prompts.recipe import PromptRecipe
from homeroom.tuning.recipe_file import Run

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.schema.tuning import Plan

SPEND = "spend=5.0, or spend=math.inf for whatever it costs"
"""How a program agrees."""
ASK_AGAIN = "What was answered is kept: the same again asks only for the rest, once you agree to that"
"""What to do where the money ends in the middle of replies that are kept."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What one thing will cost that is about to be begun. Money in US dollars.

    Attributes:
        label: What it is.
        told: Its size in words, without the money.
        paid: Whether its calls are counted: then it has to be agreed to.
        priced: Whether every price of it is known.
        usd: Expected.
        low_usd: Least of what is usual, and ``high_usd`` the most of it; both 0 where it is not known.
        most_usd: The most that it can be.
        warnings: What else to know before it is begun.
    """

    label: str
    told: str
    paid: bool = False
    priced: bool = True
    usd: float = 0.0
    low_usd: float = 0.0
    high_usd: float = 0.0
    most_usd: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def asked_for(self) -> bool:
        """Whether somebody has to agree: what is counted and costs something, or nobody knows what."""
        return self.paid and (not self.priced or self.most_usd > 0)

    @property
    def money(self) -> str:
        """``$0.45 ($0.36 to $0.60; held: $1.62, the most that it can be)``, or ``about $0.12 (at most $0.40)``."""
        if not self.priced:
            return "an amount that is not known"
        if not self.high_usd:
            return f"about {dollars(self.usd)} (at most {dollars(self.most_usd)})"
        usual = f"{dollars(self.low_usd)} to {dollars(self.high_usd)}"
        return f"{dollars(self.usd)} ({usual}; held: {dollars(self.most_usd)}, the most that it can be)"


def dollars(usd: float) -> str:
    """``$1.62``; of less than a cent what it is, as ``$0.0004``, at least ``$0.0001``: $0.00 reads like nothing."""
    return f"${usd:.2f}" if usd == 0 or usd >= 0.01 else f"${max(usd, 0.0001):.4f}"


Spend = float | Callable[[Sequence[Quote]], None]
"""Who agrees: US dollars that all of it may come to at most, or what asks somebody and raises where nobody agrees."""


def quotes_of(home: Homeroom, dataset: str, runs: Sequence[tuple[str, Run]], *, again: bool = False) -> list[Quote]:
    """What the runs will cost, those that were made or are under way left out, and those on weights here, which are free.

    Args:
        home: The open home.
        dataset: Id, name or name@version.
        runs: A label and a recipe each.
        again: They are made although they were made before.

    Raises:
        ConfigError: ``key-not-set``: an endpoint would refuse it, which is better known before anybody agrees.
        HomeroomError: what planning a run refuses.
    """
    found = home.datasets.get(dataset)
    quotes = []
    for label, run in runs:
        asked = [name for name in _asked_models(run) if endpoint_of(home.settings, name) is not None]
        if not asked and not isinstance(run, DspyRecipe | OpenAIRecipe):
            continue
        if not again and job_of(home, found, run) is not None:
            continue
        quotes.append(quote_of(home, label, run, _plan(home, dataset, run)))
    return quotes


@dataclass(frozen=True, slots=True)
class Asked:
    """Who answers questions.

    Attributes:
        name: ``ENDPOINT/MODEL``, or what answers on this machine.
        shown: What is shown to it beside a question: characters usually, and bytes at most.
        perhaps: It is asked only where an ensemble was best, and counts for the most that it can be alone.
    """

    name: str
    shown: tuple[float, float] = (0.0, 0.0)
    perhaps: bool = False


def answering(home: Homeroom, model: TunedModel) -> list[Asked]:
    """Who is asked where a tuned model answers: itself, or its base with what its prompt shows, once for each program of it."""
    if model.kind == "remote":
        return [Asked(model.remote_id)]
    if endpoint_of(home.settings, model.base) is None or not model.artifact:
        return [Asked(model.base)]
    program = PromptProgram.load(home.artifacts.path(model.artifact))
    return [Asked(model.base, shown_by(one)) for one in program.members or (program,)]


def shown_by(program: PromptProgram) -> tuple[float, float]:
    """What a program sends beside the question: characters, and bytes at most, with how it asks for several fields."""
    sent = program.render([Message("user", "")])
    fields = json_bytes(program.outputs.schema) if program.outputs else 0
    return float(characters_of(sent)), float(most_bytes(sent) + fields)


def replies_quote(
    home: Homeroom, label: str, systems: Sequence[Asked], items: int, question: tuple[float, float], max_tokens: int
) -> Quote:
    """What replies to judge by will cost; those that are kept from before are not asked again, and not left out here.

    Args:
        home: The open home.
        label: What the replies are for.
        systems: Who answers, those on this machine as well.
        items: Replies of each.
        question: A prompt: characters usually, and bytes at most, as `homeroom.app.sizes.question` gives them.
        max_tokens: Of a reply.

    Raises:
        ConfigError: ``key-not-set``.
    """
    usd, most_usd, tokens, replies, unpriced = 0.0, 0.0, 0.0, 0, False
    for one in systems:
        endpoint = endpoint_of(home.settings, one.name)
        price, counted = price_at(home, endpoint, one.name.partition("/")[2]) if endpoint else (None, False)
        if endpoint is not None:
            require_key(home.settings, one.name)
        if not counted:
            continue
        usual, most = (asked + shown for asked, shown in zip(question, one.shown, strict=True))
        replies += items
        unpriced = unpriced or price is None
        if not one.perhaps:
            tokens += items * (usual / CHARACTERS_A_TOKEN + max_tokens / 2)
            usd += price.of(round(items * usual / CHARACTERS_A_TOKEN), items * max_tokens // 2) if price else 0.0
        most_usd += price.of(items * (math.ceil(most) + REQUEST_BYTES), items * max_tokens) if price else 0.0
    told = f"up to {replies:,} {'reply' if replies == 1 else 'replies'}, about {round(tokens):,} tokens"
    return Quote(label, told, replies > 0, not unpriced, usd, most_usd=most_usd)


def questions_quote(
    home: Homeroom, label: str, systems: Sequence[Asked], questions: Sequence[Sequence[Message]], max_tokens: int
) -> list[Quote]:
    """What replies to these very conversations will cost, in one quote; nothing where there is none or they cost nothing.

    Raises:
        ConfigError: ``key-not-set``.
    """
    if not questions:
        return []
    usual, most = (sum(map(size, questions)) / len(questions) for size in (characters_of, most_bytes))
    quote = replies_quote(home, label, systems, len(questions), (usual, most), max_tokens)
    return [quote] if quote.paid else []


def together(quotes: Sequence[Quote]) -> Quote:
    """All that is paid as one: labels with commas, money added up."""
    paid = [quote for quote in quotes if quote.paid]
    usual = all(quote.high_usd for quote in paid)
    return Quote(
        ", ".join(quote.label for quote in paid),
        "",
        bool(paid),
        all(quote.priced for quote in paid),
        sum(quote.usd for quote in paid),
        sum(quote.low_usd for quote in paid) if usual else 0.0,
        sum(quote.high_usd for quote in paid) if usual else 0.0,
        sum(quote.most_usd for quote in paid),
    )


def agreed(quotes: Sequence[Quote], spend: Spend) -> float:
    """Have what is about to be begun agreed to.

    Returns:
        What it may cost, in US dollars: what was agreed to, or of somebody who was asked the most that was told. Infinity where
        nobody knows the price.

    Raises:
        ConfigError: ``needs-yes``, ``usd-invalid``. And what the one who asks raises.
    """
    if not callable(spend):
        require_agreed(quotes, spend, SPEND)
        return spend
    spend(quotes)
    whole = together(quotes)
    return whole.most_usd if whole.priced else math.inf


def require_agreed(quotes: Sequence[Quote], spend: float, how: str) -> None:
    """Refuse what could cost more than was agreed to.

    Args:
        quotes: What is about to be begun.
        spend: The most that it may cost, in US dollars; infinity agrees to whatever it costs.
        how: What to write to agree.

    Raises:
        ConfigError: ``needs-yes``, ``usd-invalid``.
    """
    require_amount(spend)
    whole = together(quotes)
    if whole.asked_for and spend != math.inf and (not whole.priced or whole.most_usd > spend):
        raise needs_yes(whole, how)


def require_amount(spend: float) -> None:
    """Refuse what nothing could ever exceed by mistake.

    Raises:
        ConfigError: ``usd-invalid``: it is less than 0, or no number.
    """
    if not isinstance(spend, int | float) or not spend >= 0:
        raise ConfigError(
            f"spend={spend!r} is no amount of US dollars to agree to. Write one from 0 up: {SPEND}", code="usd-invalid"
        )


def needs_yes(whole: Quote, how: str) -> ConfigError:
    """What to raise where nobody agreed to ``whole``; ``how`` says what to write."""
    return ConfigError(f"{whole.label!r} would cost {whole.money}. Agree to it: {how}", code="needs-yes")


def _plan(home: Homeroom, dataset: str, run: Run) -> Plan:
    if isinstance(run, OpenAIRecipe):  # without the time of this machine, which would have to be measured
        from homeroom.app.openai_plan import plan_cost

        return plan_cost(home, dataset, run)
    return plan_tuning(home, dataset, run)


def quote_of(home: Homeroom, label: str, run: Run | PromptRecipe, plan: Plan) -> Quote:
    """The quote of a run at an endpoint that was planned.

    Raises:
        ConfigError: ``key-not-set``: an endpoint would refuse it, which is better known before anybody agrees.
    """
    for name in _asked_models(run):
        require_key(home.settings, name)
    details = plan.details
    money = (bool(details["counted"]), bool(details["priced"]), plan.cost_usd)
    if isinstance(run, OpenAIRecipe):
        tokens = details["tokens"]
        between = f" ({tokens['low']:,} to {tokens['high']:,})" if tokens["low"] < tokens["high"] else ""
        examples, jobs = (_plural(count, noun) for count, noun in ((plan.examples, "example"), (len(details["jobs"]), "job")))
        told = f"{examples}, {jobs}, about {tokens['expected']:,} tokens{between}"
        usual = (details["cost_low_usd"], details["cost_usual_high_usd"])
        return Quote(label, told if details["counted"] else f"{told}, on this machine", *money, *usual, plan.cost_high_usd,
                     plan.warnings)  # fmt: skip
    if isinstance(run, DspyRecipe):
        told = (
            f"tries {', '.join(details['optimisers'])}: about {details['calls_expected']} calls, up to {details['calls']} "
            f"(budget {details['max_calls']}), about {details['tokens']:,} tokens"
        )
        told += "".join(f"; {one['model']} {one['does']}" for one in details["asks"] if one["part"] != "task")
    else:
        told = f"up to {_plural(details['requests'], 'request')} to {run.base}, about {details['tokens']:,} tokens"
    return Quote(label, told, *money, most_usd=plan.cost_high_usd)


def _asked_models(run: Run | PromptRecipe) -> tuple[str, ...]:
    """Every model that a run asks: its base, and with ``dspy`` those that teach it or write its instructions."""
    return (run.base, *(run.others.values() if isinstance(run, DspyRecipe) else ()))


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
