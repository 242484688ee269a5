"""A home opened from Python: the same objects that the command line and the server use."""

from __future__ import annotations

import stat
import subprocess
import sys

import pytest

import homeroom
from homeroom.app.home import Homeroom
from homeroom.errors import ConfigError, NotFoundError, StorageError
from homeroom.settings import load_settings
from tests.app import material


def test_the_public_names_open_a_home():
    with homeroom.open() as home:
        assert isinstance(home, homeroom.Homeroom)
        assert home.registry.list() == ()
    with pytest.raises(AttributeError):
        _ = homeroom.nothing


def test_open_makes_a_private_folder_and_keeps_what_is_written(tmp_path):
    with Homeroom.open() as home:
        made = home.datasets.create("mine", _examples(tmp_path))
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    with Homeroom.open() as home:
        assert home.datasets.get("mine").info == made.info
        assert home.work_root == tmp_path / "home" / "jobs"


def _examples(folder):
    from homeroom.data.reading import load_examples

    return load_examples(material.write_jsonl(folder / "mine.jsonl", material.tutor_records()))


def test_two_open_homes_see_each_others_writes(tmp_path):
    with Homeroom.open() as one, Homeroom.open() as other:
        one.datasets.create("mine", _examples(tmp_path))
        assert [info.name for info in other.datasets.list()] == ["mine"]


def test_a_home_of_ones_own_settings(tmp_path):
    with Homeroom.open(load_settings({"home": str(tmp_path / "elsewhere")})) as home:
        assert home.settings.home == tmp_path / "elsewhere"
    assert (tmp_path / "elsewhere" / "homeroom.db").exists()
    assert not (tmp_path / "home").exists()


def test_a_wrong_setting_or_folder_is_an_error_of_ours(tmp_path, monkeypatch):
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "else")
    with pytest.raises(StorageError) as refused:
        Homeroom.open(load_settings({"home": str(tmp_path / "dangling")}))
    assert refused.value.code == "not-writable"
    monkeypatch.setenv("HOMEROOM_PORT", "many")
    with pytest.raises(ConfigError):
        Homeroom.open()


def test_a_damaged_database_is_an_error_of_ours(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "homeroom.db").write_bytes(b"not a database" * 400)
    with pytest.raises(StorageError) as refused:
        Homeroom.open()
    assert refused.value.code == "database-damaged"


def test_base_files_are_found_or_say_how_to_get_them(home):
    assert home.base_files().name == "tiny"
    for name, code in (("smollm2-135m-instruct", "not-pulled"), ("smolm", "unknown-model")):
        with pytest.raises(NotFoundError) as missing:
            home.base_files(name)
        assert missing.value.code == code
        assert "homeroom models" in missing.value.message


def test_another_default_base_shares_everything_else(home):
    other = home.with_base("smollm2-135m-instruct")
    assert other.settings.default_base == "smollm2-135m-instruct"
    assert other.database is home.database
    assert home.with_base("tiny") is home


def test_importing_homeroom_loads_nothing_else():
    program = "import homeroom, sys; print([n for n in sys.modules if n.startswith('homeroom.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
