"""Settings: layers, validation, and all problems at once."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from homeroom.errors import ConfigError
from homeroom.settings import SETTINGS_REFERENCE, Endpoint, Settings, load_settings


def environment(home: Path, **variables: str) -> dict[str, str]:
    return {"HOME": "/users/ada", "HOMEROOM_HOME": str(home), **variables}


def configure(home: Path, text: str) -> None:
    (home / "config.yaml").write_text(text, encoding="utf-8")


def problems_of(home: Path, overrides: dict[str, object] | None = None, **variables: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(overrides, environment(home, **variables))
    assert caught.value.code == "settings"
    assert "homeroom doctor" in caught.value.message
    return caught.value.message


def test_defaults_need_neither_file_nor_environment() -> None:
    settings = load_settings(environ={"HOME": "/users/ada"})
    assert settings == Settings(home=Path("/users/ada/.homeroom"), cache=Path("/users/ada/.cache/homeroom"))
    assert (settings.host, settings.port, settings.default_base) == ("127.0.0.1", 8642, "smollm2-135m-instruct")
    assert (settings.threads, settings.engine_slots, settings.engine_context) == (0, 4, 2048)
    assert (settings.endpoints, settings.log_level) == ((), "info")


def test_flags_outweigh_environment_which_outweighs_file(tmp_path: Path) -> None:
    configure(tmp_path, "port: 1001\nhost: file\nlog_level: debug\n")
    settings = load_settings({"port": 1003, "host": None}, environment(tmp_path, HOMEROOM_PORT="1002", HOMEROOM_HOST="env"))
    assert (settings.port, settings.host, settings.log_level) == (1003, "env", "debug")
    assert settings.config_file == tmp_path / "config.yaml"


def test_home_flag_decides_which_file_is_read(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    configure(other, "port: 7\n")
    assert load_settings({"home": other}, environment(tmp_path)).port == 7


def test_tilde_and_relative_folders_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings({"cache": "~/models"}, {"HOME": "/users/ada", "HOMEROOM_HOME": "here"})
    assert settings.home == tmp_path / "here"
    assert settings.cache == Path("/users/ada/models")


def test_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    assert load_settings(environ=environment(tmp_path, HOMEROOM_PORT=" ")).port == 8642


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", "65536", "a whole number from 0 to 65535"),
        ("port", True, "a whole number"),
        ("port", 80.5, "a whole number"),
        ("port", "²", "a whole number"),
        ("engine_slots", 0, "from 1 to 64"),
        ("engine_context", "many", "from 256 to 1048576"),
        ("log_level", "warn", "did you mean 'warning'?"),
        ("log_level", "loud", "one of debug, info, warning, error"),
        ("host", "my host", "a text without spaces"),
        ("default_base", "", "a text without spaces"),
        ("cache", "", "a path of a folder"),
    ],
)
def test_wrong_value_is_shown_with_what_was_expected(tmp_path: Path, name: str, value: object, expected: str) -> None:
    message = problems_of(tmp_path, {name: value})
    assert f"{name}: {value!r} is not" in message
    assert expected in message
    assert f"--{name.replace('_', '-')}" in message


def test_endpoints_that_are_no_list_are_refused(tmp_path: Path) -> None:
    assert "endpoints: the value is not a list of endpoints" in problems_of(tmp_path, {"endpoints": "nothing"})


def test_all_problems_of_all_layers_come_together(tmp_path: Path) -> None:
    configure(tmp_path, "prot: 80\nthreads: -1\nhome: /elsewhere\n")
    message = problems_of(tmp_path, {"portt": 1}, HOMEROOM_ENGINE_SLOTS="none", HOMEROOM_DEFAULT_BAS="x")
    assert message.startswith("6 settings are wrong:")
    assert f"'prot' is no setting; did you mean 'port'? ({tmp_path}/config.yaml:1)" in message
    assert f"threads: -1 is not a whole number from 0 to 1024 ({tmp_path}/config.yaml:2)" in message
    assert "'home' cannot be set in the file that lies in it; use HOMEROOM_HOME" in message
    assert "'portt' is no setting; did you mean 'port'?" in message
    assert "engine_slots: 'none' is not" in message and "(from HOMEROOM_ENGINE_SLOTS)" in message
    assert "'HOMEROOM_DEFAULT_BAS' sets nothing; did you mean 'HOMEROOM_DEFAULT_BASE'?" in message


def test_other_variables_of_the_prefix_are_left_alone(tmp_path: Path) -> None:
    assert load_settings(environ=environment(tmp_path, HOMEROOM_SCHOOL_KEY="k")).port == 8642


@pytest.mark.parametrize(
    ("content", "expected"),
    [("a: [1\n", "not valid YAML"), ("- port\n", "not a list"), ("just text\n", "not a str")],
)
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, content: str, expected: str) -> None:
    configure(tmp_path, content)
    message = problems_of(tmp_path)
    assert expected in message and str(tmp_path / "config.yaml") in message


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in problems_of(tmp_path)


def test_empty_file_and_empty_values_mean_defaults(tmp_path: Path) -> None:
    configure(tmp_path, "port:\n")
    assert load_settings(environ=environment(tmp_path)).port == 8642
    configure(tmp_path, "# nothing\n")
    assert load_settings(environ=environment(tmp_path)).port == 8642


def test_endpoints_from_file_and_environment(tmp_path: Path) -> None:
    configure(tmp_path, "endpoints:\n  - {name: local, base_url: 'http://127.0.0.1:11434/v1/', models: [llama]}\n")
    assert load_settings(environ=environment(tmp_path)).endpoints == (
        Endpoint("local", "http://127.0.0.1:11434/v1", "", ("llama",)),
    )
    text = '[{"name": "far", "base_url": "https://host/v1", "api_key_env": "FAR_KEY"}]'
    settings = load_settings(environ=environment(tmp_path, HOMEROOM_ENDPOINTS=text))
    assert settings.endpoints == (Endpoint("far", "https://host/v1", "FAR_KEY"),)
    assert load_settings({"endpoints": settings.endpoints}, environment(tmp_path)).endpoints == settings.endpoints


def test_an_endpoint_says_whose_fine_tuning_api_it_has(tmp_path: Path) -> None:
    configure(tmp_path, "endpoints: [{name: a, base_url: 'https://host/v1', fine_tuning: nebius}]\n")
    assert load_settings(environ=environment(tmp_path)).endpoints == (Endpoint("a", "https://host/v1", fine_tuning="nebius"),)
    told = problems_of(tmp_path, {"endpoints": "[{name: a, base_url: 'https://host/v1', fine_tuning: azure}]"})
    assert "fine_tuning 'azure'" in told and "openai, nebius" in told


def test_endpoint_problems_come_together_and_never_show_a_key(tmp_path: Path) -> None:
    configure(
        tmp_path,
        "endpoints:\n"
        "  - {name: Upper Case, base_url: 'ftp://host', modles: [a]}\n"
        "  - {name: a, base_url: 'http://host', api_key_env: sk-1234567890}\n"
        "  - {name: a, base_url: 'http://host', models: one}\n"
        "  - text\n",
    )
    message = problems_of(tmp_path)
    for part in (
        "the name 'Upper Case'",
        "the base_url 'ftp://host'",
        "the unknown key 'modles'; did you mean 'models'?",
        "entry 2 has an api_key_env that is no variable name",
        "entry 3 has models 'one'",
        "entry 4 is not a mapping",
        "the name 'a' is used twice",
    ):
        assert part in message
    assert "sk-1234567890" not in message


def test_secrets_stay_out_of_errors_and_repr(tmp_path: Path) -> None:
    assert "hunter2" not in problems_of(tmp_path, HOMEROOM_DATABASE_URL="mysql://ada:hunter2@host/db")
    settings = load_settings({"database_url": "postgresql+psycopg://ada:hunter2@host/db"}, environment(tmp_path))
    assert settings.database_url == "postgresql+psycopg://ada:hunter2@host/db"
    assert "hunter2" not in repr(settings)


def test_endpoint_url_with_a_password_is_refused_unseen(tmp_path: Path) -> None:
    configure(tmp_path, "endpoints: [{name: a, base_url: 'http://ada:hunter2@host/v1'}]\n")
    message = problems_of(tmp_path)
    assert "user or password in its base_url" in message and "hunter2" not in message


def test_reference_covers_every_setting_and_parses_its_own_defaults() -> None:
    assert [setting.name for setting in SETTINGS_REFERENCE] == [field.name for field in fields(Settings)]
    assert all(setting.help.endswith(".") for setting in SETTINGS_REFERENCE)
    settings = load_settings(environ={"HOME": "/users/ada"})
    given = {s.env: s.default for s in SETTINGS_REFERENCE if s.default}
    assert load_settings(environ={"HOME": "/users/ada", **given}) == settings


def test_names_of_openais_stand_for_bases_here(tmp_path: Path) -> None:
    configure(
        tmp_path, "openai_models:\n  gpt-4o-mini-2024-07-18: smollm2-135m-instruct\nwebhook_private: yes\nmax_upload_mb: 8\n"
    )
    settings = load_settings(environ=environment(tmp_path))
    assert settings.openai_models == {"gpt-4o-mini-2024-07-18": "smollm2-135m-instruct"}
    assert (settings.webhook_private, settings.max_upload_mb) == (True, 8)
    settings = load_settings(
        environ=environment(tmp_path, HOMEROOM_OPENAI_MODELS="{gpt-4o: qwen3-0.6b}", HOMEROOM_WEBHOOK_PRIVATE="0")
    )
    assert (settings.openai_models, settings.webhook_private) == ({"gpt-4o": "qwen3-0.6b"}, False)


@pytest.mark.parametrize("value", ["[a, b]", "gpt-4o", "{gpt-4o: 4}", "{gpt-4o: two words}"])
def test_a_map_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    assert "is not a mapping of names" in problems_of(tmp_path, HOMEROOM_OPENAI_MODELS=value)


def test_a_switch_is_true_or_false(tmp_path: Path) -> None:
    assert "'perhaps' is not true or false" in problems_of(tmp_path, HOMEROOM_WEBHOOK_PRIVATE="perhaps")


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("tutor.school.example", ("tutor.school.example",)),
        ("A.example, https://B.example/", ("a.example", "https://b.example")),
        ("[::1]", ("[::1]",)),
        ("", ()),
    ],
)
def test_names_of_the_server(tmp_path: Path, value: str, names: tuple[str, ...]) -> None:
    environ = {"HOMEROOM_HOME": str(tmp_path), "HOMEROOM_ALLOW_HOSTS": value}
    assert load_settings(environ=environ).allow_hosts == names


@pytest.mark.parametrize("value", ["*", "a.example:8642", "http://a.example", "https://a.example/path", "a b\\c", "-a", "a..b"])
def test_what_is_no_name_of_a_server(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="HOMEROOM_ALLOW_HOSTS"):
        load_settings(environ={"HOMEROOM_HOME": str(tmp_path), "HOMEROOM_ALLOW_HOSTS": value})
