"""Where a run is done, and what it is part of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from homeroom.ledger.prices import Price
from homeroom.models.openai_tuning import OpenAITuning
from homeroom.schema.models import Suitability
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.openai.dialect import OPENAI, Dialect
from homeroom.tuning.openai.follow import Pace
from homeroom.tuning.openai.lines import Count
from homeroom.tuning.openai.purse import Purse

PACE = Pace()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is done.

    Attributes:
        service: The endpoint; None for a plan, which asks nobody.
        model: Its name of the base.
        base: Homeroom's name of the base: ``ENDPOINT/MODEL``, or that of a base on this machine.
        endpoint: Name of the endpoint: models are registered as ``ENDPOINT/ft:...``.
        base_identity: Of the base.
        price: Of the base, if it is known.
        counted: Whether its work is counted as money.
        leaves: Whether what is sent leaves this machine.
        ends: Day on which the base is known to end; empty when none is.
        longest: Tokens that one example may have there; 0 where that is not known.
        count: Tokens of a text, where its tokenizer is here.
        suitability: Of its models.
        dialect: Its form of the API.
    """

    service: OpenAITuning | None
    model: str
    base: str
    endpoint: str
    base_identity: str
    price: Price | None = None
    counted: bool = True
    leaves: bool = True
    ends: str = ""
    longest: int = 0
    count: Count | None = None
    suitability: Suitability = "trainee"
    dialect: Dialect = OPENAI


@dataclass(frozen=True, slots=True)
class Work:
    """What a run is part of.

    Attributes:
        folder: Its own; the next attempt finds what this one left.
        artifacts: Where the result goes.
        purse: Its money.
        job_id: The job: jobs there are found again by it.
        new_name: A name for the model, from base and suffix.
        cancelled: Whether it is over for good when it is told to stop, or only paused.
        created: Called with the id of each job there, whenever it is known.
        code_version: Kept with the model.
        pace: How often the endpoint is asked.
    """

    folder: Path
    artifacts: ArtifactStore
    purse: Purse
    job_id: str
    new_name: Callable[[str, str], str]
    cancelled: Callable[[], bool] = lambda: True
    created: Callable[[str], None] = lambda job: None
    code_version: str = ""
    pace: Pace = field(default=PACE)
