"""Every setting with its meaning, bounds and default. The docs are generated from `SETTINGS_REFERENCE`."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields

from homeroom.settings import parse
from homeroom.settings.model import Settings

ENGINE_WEIGHTS = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: Key in ``config.yaml`` and attribute of `Settings`.
        help: What it does, with unit and range.
        default: As a person would write it; empty means none.
        parse: Any value to the setting's type; ``ValueError`` says what was expected.
        in_file: Whether ``config.yaml`` may set it.
        secret: Whether an error may not show the value.
    """

    name: str
    help: str
    default: str
    parse: parse.Parser
    in_file: bool = True
    secret: bool = False

    @property
    def env(self) -> str:
        """The environment variable: ``HOMEROOM_`` and the name in capitals."""
        return f"HOMEROOM_{self.name.upper()}"


def _default(name: str) -> str:
    value = next(field.default for field in fields(Settings) if field.name == name)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value in ((), MISSING) else str(value)


def _setting(name: str, parser: parse.Parser, help: str, *, secret: bool = False) -> Setting:
    return Setting(name, help, _default(name), parser, secret=secret)


SETTINGS_REFERENCE: tuple[Setting, ...] = (
    Setting(
        "home",
        "Folder of all state: database, artifacts, logs, config.yaml. Deleting it resets Homeroom.",
        "~/.homeroom",
        parse.folder,
        in_file=False,
    ),
    Setting(
        "cache",
        "Folder of model files, shared between homes; a fresh home downloads nothing again.",
        "~/.cache/homeroom",
        parse.folder,
    ),
    _setting(
        "database_url",
        parse.database_url,
        "Database as a URL, e.g. postgresql+psycopg://user@host/name. Empty: SQLite in the home.",
        secret=True,
    ),
    _setting("host", parse.text, "Address that the server listens on. 127.0.0.1: this machine only; any other needs a key."),
    _setting(
        "allow_hosts",
        parse.hosts,
        "Further names that the server answers to, a list of: NAME, or https://NAME behind a proxy that speaks HTTPS.",
    ),
    _setting("port", parse.whole_number(0, 65535), "Port that the server listens on; 0 takes a free one."),
    _setting("default_base", parse.text, "Base model used when none is named: catalogue name or Hugging Face id."),
    _setting("project", parse.label, "What paid calls are counted under: letters, digits, dots and dashes, up to 64."),
    _setting("threads", parse.whole_number(0, 1024), "Processor threads for models; 0 takes all cores."),
    _setting("engine_slots", parse.whole_number(1, 64), "Requests that the engine answers at once."),
    _setting("engine_context", parse.whole_number(256, 1_048_576), "Longest prompt plus reply, in tokens."),
    _setting(
        "engine_weights",
        parse.choice(*ENGINE_WEIGHTS),
        f"Number format of the weights that the engine reads: {', '.join(ENGINE_WEIGHTS)}. See the page on speed.",
    ),
    _setting(
        "engine_adapters",
        parse.whole_number(1, 256),
        "Tuned models that an engine holds at once; the one asked for longest ago makes room for the next.",
    ),
    _setting(
        "engine_memory_mb",
        parse.whole_number(0, 16_777_216),
        "Memory that the engines of all bases may take together, in MB; 0 is half of the machine's.",
    ),
    _setting(
        "engine_idle_s",
        parse.whole_number(0, 31_536_000),
        "Seconds without a question after which a base that no page uses is unloaded; 0 keeps it.",
    ),
    _setting(
        "endpoints",
        parse.endpoints,
        "OpenAI-compatible servers, a list of: name, base_url, api_key_env (name of a variable), models, and fine_tuning "
        "(openai or nebius; left out, the host tells).",
        secret=True,
    ),
    _setting(
        "requests_per_minute",
        parse.whole_number(0, 1_000_000),
        "Requests that one address may send in a minute to each family of the server's routes; 0 is no limit.",
    ),
    _setting(
        "openai_models",
        parse.names,
        "Which model here a name of OpenAI's stands for, to be tuned or asked, e.g. "
        "{gpt-4o-mini-2024-07-18: smollm2-135m-instruct}.",
    ),
    _setting("max_upload_mb", parse.whole_number(1, 4096), "Largest file that POST /v1/files takes, in MB."),
    _setting(
        "remote_files_days",
        parse.whole_number(0, 36_500),
        "Days after the end of a run after which what it uploaded to an endpoint is deleted there; 0 keeps it.",
    ),
    _setting(
        "webhook_private",
        parse.switch,
        "Whether webhooks may be sent to addresses of this machine and of private networks: true or false.",
    ),
    _setting("slots_cpu", parse.whole_number(1, 1024), "Jobs that compute on the processor at once; others wait."),
    _setting("slots_gpu", parse.whole_number(1, 1024), "Jobs that compute on a GPU at once."),
    _setting("slots_api", parse.whole_number(1, 1024), "Jobs at once that ask models of endpoints."),
    _setting("log_level", parse.choice(*LOG_LEVELS), f"How much is logged: {', '.join(LOG_LEVELS)}."),
)
