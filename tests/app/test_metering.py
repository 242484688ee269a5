"""Which calls cost: what leaves this machine, and what is priced although it does not."""

from __future__ import annotations

import pytest

import homeroom
from homeroom.app.metering import price_at
from homeroom.ledger.prices import Price
from homeroom.settings import Endpoint

HERE = Endpoint(name="ollama", base_url="http://127.0.0.1:11434/v1", models=["small"])
AWAY = Endpoint(name="school", base_url="https://school.example/v1", models=["small"])
LISTED = "models: {gpt-x: {input: 1, output: 2}}\n"


@pytest.mark.parametrize(
    ("endpoint", "model", "endpoints", "price", "counted"),
    [
        (HERE, "small", "", None, False),
        (HERE, "gpt-x", "", None, False),
        (HERE, "small", "endpoints: {ollama/large: {input: 3, output: 4}}\n", None, True),
        (HERE, "gpt-x", "endpoints: {ollama/large: {input: 3, output: 4}}\n", Price(1, 2), True),
        (HERE, "large", "endpoints: {ollama/large: {input: 3, output: 4}}\n", Price(3, 4), True),
        (HERE, "small", "endpoints: {ollama-2/: {input: 3, output: 4}}\n", None, False),
        (AWAY, "small", "", None, True),
        (AWAY, "gpt-x", "", Price(1, 2), True),
    ],
)
def test_an_endpoint_on_this_machine_is_free_until_anything_of_it_is_priced(
    home: homeroom.Homeroom, endpoint: Endpoint, model: str, endpoints: str, price: Price | None, counted: bool
) -> None:
    (home.settings.home / "prices.yaml").write_text(LISTED + endpoints)
    assert price_at(home, endpoint, model) == (price, counted)
