"""Which price a name has: its own, with or without a date, and never another model's."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeroom.errors import ConfigError
from homeroom.ledger.prices import Price, Prices, load_prices

PRICES = Prices("today", {"large": Price(2, 8), "large-mini": Price(0.4, 1.6)}, {"large-mini": Price(0.8, 3.2)})


@pytest.mark.parametrize(
    ("name", "input_usd"),
    [
        ("large", 2),
        ("large-2026-04-14", 2),
        ("large-latest", 2),
        ("large-mini-2026-04-14", 0.4),
        ("ft:large-mini-2026-04-14:school::Ab1", 0.8),
        ("large-nano", None),
        ("larger", None),
        ("ft:large:school::Ab1", None),
        ("", None),
    ],
)
def test_a_name_has_its_own_price_or_none(name: str, input_usd: float | None) -> None:
    found = PRICES.price(name)
    assert (found.input if found else None) == input_usd


@pytest.mark.parametrize(
    ("name", "input_usd"),
    [
        ("o1", 15),
        ("o1-2024-12-17", 15),
        ("o1-pro", None),
        ("o10", None),
        ("ft:o1-2024-12-17:school::Ab1", 20),
        ("ft:o1-pro:school::Ab1", None),
        ("meta/llama", 1),
        ("meta/large/other", 3),
        ("meta/large/llama-2026-01-31", 4),
        ("meta", None),
    ],
)
def test_an_entry_of_an_endpoint_is_for_one_model_unless_it_ends_in_a_slash(name: str, input_usd: float | None) -> None:
    entries = {"o1": 15, "ft:o1": 20, "meta/": 1, "meta/large/": 3, "meta/large/llama": 4}
    prices = Prices("today", {}, {}, {f"openai/{entry}": Price(usd, 60) for entry, usd in entries.items()})
    found = prices.at("openai", name)
    assert (found.input if found else None) == input_usd
    assert prices.at("other", name) is None


@pytest.mark.parametrize("value", [".nan", ".inf", "-0.1", "free", ""])
def test_a_price_that_is_no_amount_is_refused_by_name(tmp_path: Path, value: str) -> None:
    (tmp_path / "prices.yaml").write_text(
        f"models: {{large: {{input: 1, output: 2, training: 1}}, odd: {{input: {value}, output: 1}}}}\n"
    )
    with pytest.raises(ConfigError, match="needs numbers") as refused:
        load_prices(tmp_path)
    assert refused.value.code == "prices-invalid"


@pytest.mark.parametrize("value", ["0", "-1", "many", "true", "1.5"])
def test_a_longest_example_is_a_number_of_tokens(tmp_path: Path, value: str) -> None:
    (tmp_path / "prices.yaml").write_text(f"longest_example: {{large: {value}}}\n")
    with pytest.raises(ConfigError, match="a number of tokens") as refused:
        load_prices(tmp_path)
    assert refused.value.code == "prices-invalid"


def test_a_home_has_its_own_longest_example_and_a_tuned_model_its_bases(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("longest_example: {gpt-4.1: 131072, own: 8192}\n")
    prices = load_prices(tmp_path)
    names = ("gpt-4.1-2025-04-14", "gpt-4o", "own", "ft:gpt-4o-mini-2024-07-18:school::Ab1", "gpt-4.1-nano")
    assert [prices.longest_example(name) for name in names] == [131072, 65536, 8192, 65536, 0]


def test_the_bundled_prices_can_be_read() -> None:
    prices = load_prices()
    assert prices.price("gpt-4.1-mini-2025-04-14") == prices.models["gpt-4.1-mini"]
    assert prices.price("gpt-4.1-nano") is None, "it is not listed, and is no gpt-4.1"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (b"gpt-4o-mini: {input: 99, output: 99}", "'gpt-4o-mini'"),
        (b"modelz: {large: {input: 1, output: 2}}", "did you mean 'models'"),
        (b"models: {large: {input: 1, output: 2, trainning: 3}}", "did you mean 'training'"),
        (b"[]", "names with values are needed"),
        (b"models: [large]", "cannot be read"),
        (b"models: {large: 3}", "names with values are needed"),
        (b"models: {l\xff: {input: 1, output: 2}}", "utf-8"),
    ],
)
def test_what_would_be_passed_over_in_silence_is_refused(tmp_path: Path, written: bytes, told: str) -> None:
    (tmp_path / "prices.yaml").write_bytes(written)
    with pytest.raises(ConfigError) as caught:
        load_prices(tmp_path)
    assert caught.value.code == "prices-invalid" and told in caught.value.message
    assert str(tmp_path / "prices.yaml") in caught.value.message and "models: {gpt-4o-mini:" in caught.value.message


def test_an_empty_file_overrides_nothing(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("# nothing yet\n")
    assert load_prices(tmp_path) == load_prices()
