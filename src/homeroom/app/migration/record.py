"""Recording a tuned model's answers while it lives, within a budget that cannot be overspent."""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from homeroom.app.migration.folder import MigrationFolder, append, lines
from homeroom.errors import AuthError, ConfigError, ConflictError, ProviderError
from homeroom.ledger.prices import Price, Prices
from homeroom.models.charging import PERHAPS_CHARGED
from homeroom.schema.chat import ChatModel, Completion, GenerationSettings
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Item

Tell = Callable[[int, int, float], None]
CHARACTERS_A_TOKEN = 3  # on the safe side: a prompt may hold more tokens than English text has
TURN_TOKENS = 8
MAX_FAILURES = 3
TRIES = 3
LONGEST_PAUSE_S = 30.0
FINAL = ("provider-auth", "provider-model", "provider-quota", "provider-url", "context-length")  # asking again changes nothing


@dataclass(frozen=True, slots=True)
class Estimate:
    """What recording would cost: requests, and US dollars at most."""

    requests: int
    at_most_usd: float
    spent_usd: float


class Ledger:
    """What was held and spent in a folder. A request is held at its most before it is sent, and settled by what it used.

    A request of which no answer came back stays held: it may have been charged.
    """

    def __init__(self, folder: MigrationFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: dict[str, float] = {}
        self._settled = 0.0
        for line in lines(folder.spent):
            self._take(line)

    @property
    def usd(self) -> float:
        """Spent and held."""
        with self._lock:
            return self._settled + sum(self._open.values())

    def hold(self, usd: float, budget_usd: float) -> str | None:
        """Reserve for a request: what to settle it by; None when it does not fit the budget.

        Raises:
            ConfigError: ``usd-invalid``: one of the amounts is not finite, or below 0. Nothing would ever exceed such a budget.
        """
        for amount in (usd, budget_usd):
            if not 0 <= amount < math.inf:
                raise ConfigError(
                    f"{amount!r} is no amount of US dollars that a budget can be kept with. Name one: --budget-usd 5",
                    code="usd-invalid",
                )
        with self._lock:
            if not self._settled + sum(self._open.values()) + usd <= budget_usd:
                return None
            token = secrets.token_hex(8)
            self._write({"request": token, "held": usd})
            return token

    def settle(self, token: str, usd: float) -> None:
        """Put what a held request really cost in place of what was held."""
        with self._lock:
            self._write({"request": token, "usd": usd})

    def _write(self, record: dict[str, Any]) -> None:
        append(self._folder.spent, record)
        self._take(record)

    def _take(self, record: dict[str, Any]) -> None:
        token = str(record.get("request"))
        if "held" in record:
            self._open[token] = float(record["held"])
        elif self._open.pop(token, None) is not None:
            self._settled += float(record.get("usd") or 0)


def recorded(folder: MigrationFolder, model: str) -> dict[str, Answer]:
    """The answers that are kept, by item id."""
    return {
        str(r["item"]): Answer(str(r["item"]), model, str(r["text"]), str(r["finish_reason"]), float(r["latency_s"]))
        for r in lines(folder.answers(model))
        if {"item", "text", "finish_reason", "latency_s"} <= set(r)
    }


def price_of(prices: Prices, model: str) -> Price:
    """The price of ``model``.

    Raises:
        ConfigError: ``price-unknown``.
    """
    price = prices.price(model)
    if price is None:
        raise ConfigError(
            f"No price is known for {model!r}, so a budget cannot be kept. Write one into prices.yaml in the home, for example: "
            f'tuned: {{"{model.split(":")[1] if model.startswith("ft:") else model}": {{input: 0.3, output: 1.2}}}}',
            code="price-unknown",
        )
    return price


def estimate(folder: MigrationFolder, model: str, items: Sequence[Item], settings: GenerationSettings, price: Price) -> Estimate:
    """What is still to be asked, and what that costs at most."""
    left = _left(folder, model, items)
    return Estimate(len(left), sum(_at_most(item, settings, price) for item in left), Ledger(folder).usd)


def record(
    folder: MigrationFolder,
    name: str,
    chat: ChatModel,
    items: Sequence[Item],
    settings: GenerationSettings,
    price: Price,
    budget_usd: float,
    *,
    concurrency: int = 4,
    tell: Tell = lambda done, total, usd: None,
) -> Estimate:
    """Ask for every answer that is not kept yet, as far as the budget goes.

    Args:
        folder: Of the migration; its spending so far counts.
        name: Of the model, as in the inventory.
        chat: What answers as it; it must not try again by itself, because each try may cost.
        items: What is asked.
        settings: How replies are drawn.
        price: Of the model.
        budget_usd: For the whole folder: what was spent before is part of it.
        concurrency: Requests at a time.
        tell: Hears of answers kept, answers wanted, and US dollars spent or held.

    Returns:
        What is left: no requests when all is recorded.

    Raises:
        ProviderError: the key was refused, or several requests failed; what was answered is kept.
        ConflictError: ``budget-spent``: a budget of the home stopped it; what was answered is kept.
    """
    ledger, failures = Ledger(folder), list[ProviderError]()
    left, total = _left(folder, name, items), len(items)
    done = total - len(left)
    lock = threading.Lock()

    def ask(item: Item) -> None:
        nonlocal done
        with lock:
            if len(failures) >= MAX_FAILURES or any(isinstance(f, AuthError) for f in failures):
                return
        try:
            kept = _ask(folder, name, chat, item, settings, price, budget_usd, ledger)
        except ProviderError as error:
            with lock:
                failures.append(error)
            return
        with lock:
            done += kept
            tell(done, total, ledger.usd)

    with ThreadPoolExecutor(concurrency, thread_name_prefix="record") as pool:
        for _ in pool.map(ask, left):
            pass
    if failures and (len(failures) >= MAX_FAILURES or isinstance(failures[0], AuthError)):
        raise failures[0]
    return estimate(folder, name, items, settings, price)


def _ask(
    folder: MigrationFolder,
    name: str,
    chat: ChatModel,
    item: Item,
    settings: GenerationSettings,
    price: Price,
    budget_usd: float,
    ledger: Ledger,
) -> bool:
    """Ask one prompt, each try held by itself; False when the budget has no room for it.

    Raises:
        ProviderError: the last try's.
        ConflictError: ``budget-spent``.
    """
    for attempt in range(TRIES):
        held = ledger.hold(_at_most(item, settings, price), budget_usd)
        if held is None:
            return False
        try:
            reply = chat.complete(list(item.prompt), settings)
        except ConflictError:  # a budget of the home has no room for it: it was not sent
            ledger.settle(held, 0.0)
            raise
        except ProviderError as error:
            if error.code not in PERHAPS_CHARGED:
                ledger.settle(held, 0.0)  # it said no: nothing was generated
            if attempt == TRIES - 1 or error.code in FINAL:
                raise
            time.sleep(min(error.retry_after_s if error.retry_after_s is not None else 2**attempt / 2, LONGEST_PAUSE_S))
            continue
        append(folder.answers(name), _answer(item, reply))
        ledger.settle(held, price.of(reply.usage.prompt_tokens, reply.usage.completion_tokens))
        return True
    raise AssertionError("the last try returns or raises")


def _left(folder: MigrationFolder, model: str, items: Sequence[Item]) -> list[Item]:
    kept = recorded(folder, model)
    return [item for item in items if item.id not in kept]


def _at_most(item: Item, settings: GenerationSettings, price: Price) -> float:
    prompt = sum(len(m.content) / CHARACTERS_A_TOKEN + TURN_TOKENS for m in item.prompt)
    return price.of(round(prompt), settings.max_tokens)


def _answer(item: Item, reply: Completion) -> dict[str, Any]:
    return {
        "item": item.id,
        "text": reply.text,
        "finish_reason": reply.finish_reason,
        "latency_s": round(reply.latency_s, 3),
        "prompt_tokens": reply.usage.prompt_tokens,
        "completion_tokens": reply.usage.completion_tokens,
    }
