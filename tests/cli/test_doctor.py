"""`homeroom doctor`: its exit code is for scripts, its lines are for people."""

from __future__ import annotations

import socket
import sys


def test_a_machine_that_has_everything_passes_and_nothing_is_made(homeroom, home):
    told = homeroom("doctor")
    assert (told.code, told.out.splitlines()[-1]) == (0, "Everything that the demo needs is here.")
    data = homeroom("doctor", "--json")
    assert (data.code, data.json["ok"]) == (0, True)
    assert {check["state"] for check in data.json["checks"]} <= {"ok", "warning"}
    assert not home.exists()


def test_a_missing_base_model_fails_with_the_command_that_mends_it(homeroom, monkeypatch):
    monkeypatch.setenv("HOMEROOM_DEFAULT_BASE", "smollm2-135m-instruct")
    told = homeroom("doctor")
    assert told.code == 1
    assert "-> homeroom models pull smollm2-135m-instruct" in told.out
    assert told.out.splitlines()[-1].startswith("1 missing")
    data = homeroom("doctor", "--json")
    assert (data.code, data.json["ok"]) == (1, False)
    assert [check["name"] for check in data.json["checks"] if check["state"] == "missing"] == ["base model"]


def test_what_only_programs_of_one_s_own_need_is_a_warning(homeroom, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)  # as on a machine without it
    told = homeroom("doctor")
    assert told.code == 0
    assert "-> pip install 'homeroom[openai]'" in told.out
    monkeypatch.setitem(sys.modules, "flask", None)
    assert homeroom("doctor").code == 1


def test_a_port_that_is_taken_is_a_warning_with_another_port(homeroom, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("HOMEROOM_PORT", str(port))
        told = homeroom("doctor")
    assert told.code == 0
    assert f"-> homeroom serve --port {port + 1}" in told.out


def test_an_address_that_this_machine_does_not_have_is_no_port_that_is_taken(homeroom, monkeypatch):
    monkeypatch.setenv("HOMEROOM_HOST", "bad_host")
    told = homeroom("doctor")
    assert told.code == 0
    assert "This machine has no address 'bad_host' to listen on" in told.out and "taken" not in told.out
    assert "-> homeroom serve --host 127.0.0.1" in told.out


def test_an_endpoint_without_its_key_is_a_warning(homeroom, home):
    home.mkdir()
    (home / "config.yaml").write_text("endpoints: [{name: school, base_url: 'http://127.0.0.1:9/v1', api_key_env: NO_KEY}]\n")
    told = homeroom("doctor")
    assert (told.code, "export NO_KEY=" in told.out) == (0, True)


def test_a_name_that_stands_for_no_model_is_a_warning(homeroom, monkeypatch):
    monkeypatch.setenv("HOMEROOM_OPENAI_MODELS", "{gpt: nope, gpt-4o-mini: tiny, small: smollm2-135m-instruct, mine: 'ft:a:b'}")
    told = homeroom("doctor", "--json")
    checks = {check["name"]: check for check in told.json["checks"]}
    assert told.code == 0
    assert (checks["name gpt"]["state"], checks["name gpt"]["mend"]) == ("warning", "homeroom models list --bases")
    assert "'gpt' stands for 'nope', which is no model" in checks["name gpt"]["detail"]
    assert checks["name small"]["mend"] == "homeroom models pull smollm2-135m-instruct"
    assert [checks[f"name {name}"]["state"] for name in ("gpt-4o-mini", "mine")] == ["ok", "ok"]


def test_a_cache_that_is_a_file_is_missing(homeroom, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOMEROOM_CACHE", str(tmp_path / "file" / "cache"))
    told = homeroom("doctor")
    assert told.code == 1
    assert "export HOMEROOM_CACHE=" in told.out


def test_a_setting_that_is_wrong_is_told_first(homeroom, monkeypatch):
    monkeypatch.setenv("HOMEROOM_PORT", "many")
    told = homeroom("doctor")
    assert (told.code, "HOMEROOM_PORT" in told.error) == (2, True)
