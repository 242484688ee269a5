"""What calls to endpoints cost: the price of a model there, and the meter that writes its calls into the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from homeroom.ledger.meter import CallMeter
from homeroom.ledger.prices import Price, load_prices
from homeroom.ledger.purse import Purse, PurseMeter
from homeroom.ledger.records import About
from homeroom.runtime import is_loopback
from homeroom.schema.costs import Purpose
from homeroom.settings import Endpoint

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


@dataclass(frozen=True, slots=True)
class Use:
    """What models are asked for.

    Attributes:
        purpose: Of the calls.
        method: Of the tuning that they serve.
        job_id: The job that makes them.
    """

    purpose: Purpose = "chat"
    method: str = ""
    job_id: str = ""


CHAT = Use()


def leaves_this_machine(endpoint: Endpoint) -> bool:
    """Whether what is sent to the endpoint leaves this machine: anything but a loopback address."""
    return not is_loopback(urlsplit(endpoint.base_url).hostname or "")


def price_at(home: Homeroom, endpoint: Endpoint, model: str) -> tuple[Price | None, bool]:
    """The price of ``model`` at ``endpoint``, and whether its calls are counted.

    What answers on this machine is free and not counted, unless ``prices.yaml`` names its endpoint: then it stands for a
    provider behind it.

    Raises:
        ConfigError: ``prices-invalid``.
    """
    prices = load_prices(home.settings.home)
    if not leaves_this_machine(endpoint) and not prices.name(endpoint.name):
        return None, False
    return prices.price(model, endpoint.name), True


def meter_for(
    home: Homeroom, endpoint: Endpoint, model: str, name: str, use: Use = CHAT, purse: Purse | None = None
) -> CallMeter | PurseMeter | None:
    """The meter for calls of ``model`` at ``endpoint``; None where they are not counted.

    Args:
        home: The open home.
        endpoint: Where they go.
        model: As the endpoint names it.
        name: As Homeroom names it: what the ledger shows.
        use: What they are for.
        purse: What they are paid from as well; a model whose price is not known takes nothing from it.

    Raises:
        ConfigError: ``prices-invalid``.
    """
    price, counted = price_at(home, endpoint, model)
    if not counted:
        return None
    about = About(name, use.purpose, home.settings.project, use.method, use.job_id)
    counting = CallMeter(home.ledger, about, price)
    return PurseMeter(counting, price, purse) if price is not None and purse is not None else counting
