"""What is configured: `Settings` and the endpoints in it. Where they come from: `homeroom.settings.load`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FINE_TUNING = ("openai", "nebius")
"""Fine-tuning APIs that are spoken: OpenAI's, and Nebius Token Factory's."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server that answers chat requests.

    Attributes:
        name: How models of this endpoint are prefixed: ``<name>/<model>``. Lower case.
        base_url: Up to and including ``/v1``, without a trailing slash.
        api_key_env: Name of the environment variable that holds the key; never the key itself. Empty: none is needed.
        models: Models to offer; empty means those the endpoint lists.
        fine_tuning: Whose fine-tuning API it has, one of `FINE_TUNING`; empty: told by its host.
    """

    name: str
    base_url: str
    api_key_env: str = ""
    models: tuple[str, ...] = ()
    fine_tuning: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration of one home. See `SETTINGS_REFERENCE` for what each one means and where it can be set.

    ``database_url`` may carry a password, so it stays out of ``repr``.
    """

    home: Path
    cache: Path
    database_url: str = field(default="", repr=False)
    host: str = "127.0.0.1"
    allow_hosts: tuple[str, ...] = ()
    port: int = 8642
    default_base: str = "smollm2-135m-instruct"
    project: str = "default"
    threads: int = 0
    engine_slots: int = 4
    engine_context: int = 2048
    engine_weights: str = "q8_0"
    engine_adapters: int = 12
    engine_memory_mb: int = 0
    engine_idle_s: int = 900
    endpoints: tuple[Endpoint, ...] = ()
    requests_per_minute: int = 1200
    openai_models: Mapping[str, str] = field(default_factory=dict)
    max_upload_mb: int = 512
    remote_files_days: int = 0
    webhook_private: bool = False
    slots_cpu: int = 1
    slots_gpu: int = 1
    slots_api: int = 4
    log_level: str = "info"

    @property
    def config_file(self) -> Path:
        """Where the file layer is read from."""
        return self.home / "config.yaml"
