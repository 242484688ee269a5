"""The models a chat may use now: bases on this disk, endpoints of the settings, and what was tuned here."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from homeroom.app.deleting import delete_model
from homeroom.app.engines import Resolve, base_of
from homeroom.app.fine_tuning.checkpoints import Checkpoint, CheckpointStore, is_checkpoint
from homeroom.app.metering import CHAT, Use, meter_for
from homeroom.app.own_weights import own_identity
from homeroom.app.this_server import is_this_server
from homeroom.chat.directory import ModelCard, ScorecardLink, not_deletable, unknown_model
from homeroom.errors import ConfigError, ConflictError, NotFoundError
from homeroom.evaluation.metrics import metric
from homeroom.evaluation.protocol import protocol
from homeroom.ledger.purse import Purse
from homeroom.models import prepared
from homeroom.models.catalogue import BaseModel, Catalogue, load_catalogue
from homeroom.models.client import OpenAIChatModel, list_models
from homeroom.models.engine_chat import EngineChatModel
from homeroom.models.prompt_program import ProgramChatModel, PromptProgram
from homeroom.registry.records import ScorecardRecord
from homeroom.schema.chat import ChatModel
from homeroom.schema.costs import Meter
from homeroom.schema.models import TunedModel
from homeroom.settings import Endpoint

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

ENDPOINT_LIST_S = 60.0
Routes = Mapping[str, str]  # task to the model that its pages use


class HomeDirectory:
    """Implements the chat layer's ``ModelDirectory`` over one home. Thread-safe. `close` it, unless the process ends with it.

    Args:
        home: The open home.
        resolve: Gives the engine that serves a base, alone or with one adapter.
        use: What its models are asked for: under which purpose calls to endpoints are counted.
        purse: What calls to endpoints are paid from; None has no limit but the budgets.
    """

    def __init__(self, home: Homeroom, resolve: Resolve, use: Use = CHAT, purse: Purse | None = None) -> None:
        self._home, self._resolve, self._use, self._purse = home, resolve, use, purse
        self._checkpoints = CheckpointStore(home.database, home.artifacts)
        self._endpoint_models: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._lock = threading.Lock()
        self._cards: tuple[tuple[int, int], float, tuple[ModelCard, ...]] | None = None
        self._clients: dict[str, EngineChatModel | OpenAIChatModel] = {}  # kept, because each holds connections

    def list(self) -> Sequence[ModelCard]:
        """The default base first, then other bases and endpoints, then tuned models, newest first.

        Kept until the database, the bases that are here, or what an endpoint lists may have changed: every question asks for it.
        """
        names = self._home.settings.cache / "names"
        seen = (self._home.database.data_version(), names.stat().st_mtime_ns if names.exists() else 0)
        with self._lock:
            if self._cards is not None and self._cards[0] == seen and time.monotonic() < self._cards[1]:
                return self._cards[2]
        cards = tuple(self._all_cards())
        until = time.monotonic() + (ENDPOINT_LIST_S if self._home.settings.endpoints else float("inf"))
        with self._lock:
            self._cards = (seen, until, cards)
        return cards

    def _all_cards(self) -> Iterator[ModelCard]:
        tuned = self._home.registry.list()
        known = self._known(tuned)
        routed = {task: self._home.registry.route(task) or self._unrouted(task, tuned) for task in ("tutor", "learner")}
        routes = {task: known.get(name, name) for task, name in routed.items()}
        yield from self._bases(routes)
        yield from self._endpoint_cards(routes, known)
        yield from (self._tuned(model, routes) for model in tuned)

    def card(self, name: str) -> ModelCard:
        """The card of one model: of those in the list, of a checkpoint, or of the base that a name of OpenAI's stands for.

        Raises:
            NotFoundError: no model has that name (``model-not-found``).
        """
        cards = {card.name: card for card in self.list()}
        meant = name if name in cards else self._home.settings.openai_models.get(name, name)
        meant = meant if meant in cards else self._known(self._home.registry.list()).get(meant, meant)
        if meant in cards:
            return cards[meant]
        checkpoint = self._checkpoints.find(name)
        if checkpoint is None:
            raise unknown_model(name)
        return self._checkpoint_card(checkpoint)

    def chat_model(self, name: str) -> ChatModel:
        """What answers as ``name``.

        Raises:
            NotFoundError: no model has that name (``model-not-found``).
            ConfigError: an endpoint's key is not set (``key-not-set``).
        """
        endpoint = self._endpoint_of(name)
        if endpoint is not None:
            return self._kept(name, lambda: self._at_endpoint(endpoint, name.partition("/")[2], name))
        if name == self._home.settings.default_base or prepared.find(name, self._home.settings.cache) is not None:
            return self._kept(name, lambda: self._base_model(name))
        if is_checkpoint(name) and (checkpoint := self._checkpoints.find(name)) is not None:
            identity = checkpoint.base_identity
            return self._kept(name, lambda: self._adapted_model(name, identity))
        model = self._home.registry.get(name)
        if model.kind == "remote":
            remote = self._endpoint_of(model.remote_id)
            if remote is None:
                raise NotFoundError(f"The endpoint of {name!r} is no longer in the settings.", code="endpoint-unknown")
            return self._kept(model.name, lambda: self._at_endpoint(remote, model.remote_id.partition("/")[2], model.name))
        if model.kind == "prompt":
            if "/" not in model.base:  # one of this machine
                self._check_base(model)
            program = PromptProgram.load(self._home.artifacts.path(model.artifact))
            return ProgramChatModel(model.name, self.chat_model(model.base), program)
        if model.kind == "full":  # to an engine it is a base of its own
            own = own_identity(model)
            return self._kept(model.name, lambda: EngineChatModel(model.name, lambda failed: self._resolve(own, None, failed)))
        self._check_base(model)
        adapted = self._kept(model.name, lambda: self._adapted_model(model.name, model.base_identity))
        if model.method != "dspy":
            return adapted
        # Prompt and weights were searched together: neither is served without the other.
        return ProgramChatModel(model.name, adapted, PromptProgram.load(self._home.artifacts.path(model.artifact)))

    def _kept(self, name: str, make: Callable[[], EngineChatModel | OpenAIChatModel]) -> ChatModel:
        with self._lock:
            if name not in self._clients:
                self._clients[name] = make()
            return self._clients[name]

    def close(self) -> None:
        """Close the connections to engines and endpoints."""
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()

    def _base_model(self, name: str) -> EngineChatModel:
        # Its files are looked up at each request: another version may have been pulled since.
        return EngineChatModel(name, lambda failed: self._resolve(self._home.base_files(name).identity, None, failed))

    def _adapted_model(self, name: str, identity: str) -> EngineChatModel:
        return EngineChatModel(name, lambda failed: self._resolve(identity, name, failed), adapter=name)

    def _at_endpoint(self, endpoint: Endpoint, model: str, name: str) -> OpenAIChatModel:
        return endpoint_model(endpoint, model, name, meter_for(self._home, endpoint, model, name, self._use, self._purse))

    def _check_base(self, model: TunedModel) -> None:
        """Refuse a model whose base is not here, or here in another version.

        Raises:
            NotFoundError: ``not-pulled``, ``base-not-here``.
            ConflictError: ``base-mismatch``.
        """
        files = self._home.base_files(model.base)
        if files.identity == model.base_identity:
            return
        try:
            base_of(self._home, model.base_identity)  # the same base under another name
        except NotFoundError as error:
            raise ConflictError(
                f"{model.name!r} was tuned on {model.base!r} of the identity {model.base_identity[:16]!r}, and here it is"
                f" {files.identity[:16]!r}. Tune it again on this one: homeroom tune run --base {model.base}",
                code="base-mismatch",
            ) from error

    def save_settings(self, name: str, settings: Mapping[str, Any]) -> None:
        """Store settings with the model version."""
        self._home.registry.set_settings(name, dict(settings))

    def use_for(self, name: str, task: str) -> None:
        """Make ``name`` what the pages for ``task`` use."""
        self._home.registry.set_route(task, name)

    def delete(self, name: str) -> None:
        """Delete a model that was tuned here, with its checkpoints."""
        card = self.card(name)
        if card.kind != "tuned" or is_checkpoint(card.name):
            raise not_deletable(card.name)
        delete_model(self._home, card.name)
        with self._lock:
            self._clients.pop(card.name, None)  # not closed: a reply may be on its way

    def _unrouted(self, task: str, tuned: Sequence[TunedModel]) -> str:
        """What a page uses that nobody chose a model for: the newest for its task that was not refused, else the base."""
        base = self._home.settings.default_base
        fit = (m for m in tuned if m.task == task and m.verdict != "reject" and (m.base == base or "/" in m.remote_id + m.base))
        return next((model.name for model in fit), base)

    @cached_property
    def _catalogue(self) -> Catalogue:
        return load_catalogue()

    def _bases(self, routes: Routes) -> Iterator[ModelCard]:
        """The default base, here or not, then every other one that is here."""
        default = self._home.settings.default_base
        here = [base.name for base in prepared.all_bases(self._home.settings.cache)]
        for name in (default, *(name for name in here if name != default)):
            listed = self._listed_base(name)
            yield ModelCard(
                name=name,
                title=listed.title if listed else name,
                kind="base",
                suitability=listed.suitability if listed else "practice",
                settings=self._home.registry.base_settings(name),
                default_for=_default_for(name, routes),
                description="Not tuned: what the model does by itself.",
                base=name,
                here=name in here,
            )

    def _listed_base(self, name: str) -> BaseModel | None:
        """The catalogue's entry; None for a base that was prepared here from a folder of one's own."""
        try:
            entry = self._catalogue.find(name)
        except NotFoundError:
            return None
        return entry if isinstance(entry, BaseModel) else None

    def _known(self, tuned: Sequence[TunedModel]) -> dict[str, str]:
        """What endpoints offer that is in the list under another name: what was tuned there, and what is here already."""
        found = {model.remote_id: model.name for model in reversed(tuned) if model.remote_id not in ("", model.base)}
        for endpoint in self._home.settings.endpoints:
            if is_this_server(self._home, endpoint):
                here = [*(base.name for base in prepared.all_bases(self._home.settings.cache)), *(model.name for model in tuned)]
                found |= {f"{endpoint.name}/{name}": name for name in here}
        return found

    def _endpoint_cards(self, routes: Routes, known: Mapping[str, str]) -> Iterator[ModelCard]:
        for endpoint in self._home.settings.endpoints:
            for model in endpoint.models or self._listed(endpoint):
                name = f"{endpoint.name}/{model}"
                if name in known:
                    continue
                yield ModelCard(
                    name=name,
                    title=f"{model} at {endpoint.name}",
                    kind="endpoint",
                    suitability="trainee",
                    settings=self._home.registry.base_settings(name),
                    default_for=_default_for(name, routes),
                    base=name,
                )

    def _listed(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The models an endpoint lists, asked once in a while; none while it cannot be reached, or is this very server."""
        if is_this_server(self._home, endpoint):
            return ()
        kept = self._endpoint_models.get(endpoint.name)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        models = list_models(endpoint.base_url, os.environ.get(endpoint.api_key_env) if endpoint.api_key_env else None)
        self._endpoint_models[endpoint.name] = (time.monotonic() + ENDPOINT_LIST_S, models)
        return models

    def _tuned(self, model: TunedModel, routes: Routes) -> ModelCard:
        scorecards = tuple(_link(s) for s in self._home.registry.scorecards(model.name))
        return ModelCard(
            name=model.name,
            title=_title(model),
            kind="tuned",
            task=model.task,
            suitability=model.suitability,
            verdict=model.verdict,
            created_at=model.created_at,
            settings=dict(model.settings),
            default_for=_default_for(model.name, routes),
            base=model.base,
            method=model.method,
            dataset=model.dataset,
            recipe=dict(model.recipe),
            metrics=dict(model.metrics),
            scorecards=scorecards,
        )

    def _checkpoint_card(self, checkpoint: Checkpoint) -> ModelCard:
        """Its settings are those that a run of the API ends with, or those that were saved for the model since."""
        ended = next((card for card in self.list() if card.name == checkpoint.parent), None)
        base = next((b for b in prepared.all_bases(self._home.settings.cache) if b.identity == checkpoint.base_identity), None)
        return ModelCard(
            name=checkpoint.model_name,
            title=f"Step {checkpoint.step} of {checkpoint.parent}",
            kind="tuned",
            suitability="practice",
            created_at=checkpoint.created_at,
            settings=dict(ended.settings) if ended else {},
            description="What a tuning run had learnt at one step.",
            base=base.name if base else "",
            method="huggingface",
            metrics=dict(checkpoint.metrics),
        )

    def _endpoint_of(self, name: str) -> Endpoint | None:
        prefix, slash, _ = name.partition("/")
        return next((e for e in self._home.settings.endpoints if slash and e.name == prefix), None)


def _title(model: TunedModel) -> str:
    """``Tuned learner 3f0a91c2``; with what it is called where that says more: ``Tuned tutor fractions 3f0a91c2``."""
    called = "" if model.suffix == model.task else f" {model.suffix}"
    return f"Tuned {model.task}{called} {model.id8}" if model.task != "any" else f"Tuned{called} {model.id8}"


def _default_for(name: str, routes: Routes) -> tuple[str, ...]:
    return tuple(task for task, routed in routes.items() if routed == name)


def _link(card: ScorecardRecord) -> ScorecardLink:
    """The verdict, and the figures that it counts as gains, in words."""
    figures = {"Verdict": str(card.summary.get("headline") or card.summary.get("outcome") or "unjudged")}
    task = str(card.summary.get("task", ""))
    means = card.summary.get("means") or {}
    names = [rule.metric for rule in protocol(task).gains] if task in ("tutor", "learner") else []
    figures.update({metric(name).title: f"{means[name]:.2f}" for name in names if means.get(name) is not None})
    return ScorecardLink(dataset=card.dataset[:12], summary=figures, report=card.report_artifact)


def endpoint_model(endpoint: Endpoint, model: str, name: str, meter: Meter | None = None) -> OpenAIChatModel:
    """A model of an OpenAI-compatible endpoint, its calls counted by ``meter``.

    Raises:
        ConfigError: its key's environment variable is not set (``key-not-set``).
    """
    return OpenAIChatModel(name, endpoint.base_url, model, api_key=key_of_endpoint(endpoint), meter=meter)


def key_of_endpoint(endpoint: Endpoint) -> str | None:
    """The key that an endpoint is asked with; None where it wants none.

    Raises:
        ConfigError: ``key-not-set``: its environment variable is not set.
    """
    key = os.environ.get(endpoint.api_key_env) if endpoint.api_key_env else None
    if endpoint.api_key_env and not key:
        raise ConfigError(
            f"The endpoint {endpoint.name!r} needs a key in {endpoint.api_key_env}. Set it: export {endpoint.api_key_env}=...",
            code="key-not-set",
        )
    return key
