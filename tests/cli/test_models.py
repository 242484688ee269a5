"""`homeroom models`: what is here, what the chat uses, and models that come from elsewhere."""

from __future__ import annotations

import json
import shutil

import pytest

from homeroom.app.home import Homeroom
from tests.app import material


@pytest.fixture
def tutor(tuned):
    with Homeroom.open() as home:
        return next(model for model in home.registry.list() if model.task == "tutor")


def test_list_names_base_and_tuned_models(tuned, homeroom):
    cards = homeroom("models", "list", "--json").json
    assert [(card["kind"], card["task"]) for card in cards] == [("base", "any"), ("tuned", "tutor"), ("tuned", "learner")]
    table = homeroom("models", "list").out.splitlines()
    assert [line.split()[0] for line in table[1:]] == [card["name"] for card in cards]


def test_bases_say_which_are_here(homeroom):
    bases = homeroom("models", "list", "--bases", "--json").json
    assert {"name", "licence", "memory_mb", "context_tokens", "suitability"} <= bases[0].keys()
    assert not any(base["installed"] for base in bases)
    assert "homeroom models pull ORG/NAME" in homeroom("models", "list", "--bases").out


def test_a_base_that_is_here_is_not_fetched_again(homeroom):
    told = homeroom("models", "pull")
    assert (told.code, told.out.startswith("tiny is ready")) == (0, True)
    assert homeroom("models", "pull", "tiny", "--json").json["context_tokens"] == 2048
    assert "'smollm2-135m-instruct'" in homeroom("models", "pull", "smollm2-135m-instrct").error


def test_show_tells_lineage_and_scorecards_by_any_reference(tutor, homeroom):
    for reference in (tutor.name, tutor.id8, "tutor"):
        shown = homeroom("models", "show", reference, "--json").json
        assert shown["name"] == tutor.name
    assert {"dataset", "base_identity", "recipe", "job_id", "code_version", "metrics"} <= shown.keys()
    assert len(shown["scorecards"]) == 1
    text = homeroom("models", "show", "tutor").out
    assert tutor.job_id in text and tutor.dataset in text and "report.html" in text


def test_use_chooses_and_delete_refuses_what_is_in_use(tutor, tuned, homeroom):
    assert homeroom("models", "use", "tutor").out == f"{tutor.name} now answers as tutor.\n"
    cards = {card["name"]: card["default_for"] for card in homeroom("models", "list", "--json").json}
    assert cards[tutor.name] == ["tutor"]
    refused = homeroom("models", "delete", "tutor", "--yes")
    assert (refused.code, "homeroom models use" in refused.error) == (2, True)
    assert homeroom("models", "use", "tiny", "--task", "tutor").code == 0
    assert homeroom("models", "delete", "tutor", "--yes", "--json").json == {"deleted": tutor.name}
    with Homeroom.open() as home:
        assert [model.task for model in home.registry.list()] == ["learner"]
        assert [path.name for path in (tuned / "artifacts" / "model").iterdir()] == [home.registry.list()[0].artifact]
    assert homeroom("models", "show", tutor.name).code == 2


def test_a_base_may_be_anything_so_its_task_is_asked(tuned, homeroom):
    told = homeroom("models", "use", "tiny")
    assert (told.code, "--task tutor" in told.error) == (2, True)


def test_delete_asks_first(tutor, homeroom):
    assert homeroom("models", "delete", "tutor", typed="n\n").code == 1
    nobody = homeroom("models", "delete", "tutor", typed="")
    assert (nobody.code, nobody.err.splitlines()[-1]) == (130, "Nothing was done.")
    assert homeroom("models", "show", "tutor").code == 0
    assert homeroom("models", "delete", "tutor", typed="y\n").out == f"Deleted {tutor.name}.\n"


@pytest.fixture
def peft(tmp_path, cache):
    with Homeroom.open() as home:
        return material.random_adapter(home.base_files(), tmp_path / "My Adapter")


def test_a_peft_folder_becomes_a_model_that_answers(homeroom, peft, home):
    made = homeroom("models", "import", peft, "--task", "learner", "--system", "You are a tutor.", "--json").json
    assert made["name"].startswith("ft:tiny:homeroom:my-adapter:")
    assert (made["task"], made["kind"], made["settings"]["system_prompt"]) == ("learner", "lora", "You are a tutor.")
    with Homeroom.open() as opened:
        files = opened.artifacts.path(made["artifact"])
        assert {"adapter.gguf", "adapter_model.safetensors", "adapter_config.json"} <= {path.name for path in files.iterdir()}
        gguf = shutil.copy(files / "adapter.gguf", home.parent / "mine.gguf")
    told = homeroom("models", "import", gguf, "--suffix", "second")
    assert told.code == 0
    assert "homeroom eval run --model" in told.out
    reply = homeroom("chat", "--model", "second", "-m", "Half of 14 is 8.", "--json")
    assert reply.code == 0, reply.err
    assert reply.json["model"].startswith("ft:tiny:homeroom:second:")
    assert reply.json["reply"]


def test_an_adapter_of_another_base_is_refused_before_the_engine_meets_it(homeroom, peft, tmp_path):
    """In the engine it would keep every model from answering."""
    import gguf

    with Homeroom.open() as home:
        wrong = material.random_adapter(home.base_files(), tmp_path / "wrong", extra_rows=4)
    assert "#base-mismatch" in homeroom("models", "import", wrong).error
    writer = gguf.GGUFWriter(str(tmp_path / "wrong.gguf"), "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 4.0)
    import numpy as np

    writer.add_tensor("blk.0.attn_q.weight.lora_a", np.zeros((2, 32), np.float32))
    writer.add_tensor("blk.0.attn_q.weight.lora_b", np.zeros((32, 2), np.float32))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        write()
    refused = homeroom("models", "import", tmp_path / "wrong.gguf")
    assert "#base-mismatch" in refused.error and "--base NAME" in refused.error
    assert homeroom("models", "list", "--json").json[1:] == []
    with Homeroom.open() as home:
        assert not any(path.is_file() for path in (home.settings.home / "artifacts").rglob("*.gguf"))


def test_what_is_no_adapter_is_refused(homeroom, tmp_path, cache):
    (tmp_path / "empty").mkdir()
    (tmp_path / "picture.gguf").write_bytes(b"\x89PNG\r\n\x1a\n" * 8)
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\x00")
    with Homeroom.open() as home:
        shutil.copy(home.base_files().gguf, tmp_path / "whole.gguf")
    for source, code, said in (
        ("empty", "adapter-files", "adapter_config.json"),
        ("picture.gguf", "gguf-damaged", "does not begin with 'GGUF'"),
        ("cut.gguf", "gguf-damaged", "cut short"),
        ("whole.gguf", "adapter-files", "not a LoRA"),
        ("missing.gguf", "import-source", "no file"),
        ("nowhere/ft:gpt:school::x1", "import-source", "endpoints: none"),
    ):
        told = homeroom("models", "import", source)
        assert (told.code, f"#{code}]" in told.error, said in told.error) == (2, True, True), told.err
    assert homeroom("models", "import", "empty", "--base", "nothing").code == 2
    assert homeroom("models", "import", "empty", "--suffix", "Not A Name").code == 2
    assert [card["kind"] for card in homeroom("models", "list", "--json").json] == ["base"]


def test_pickled_weights_are_never_read(homeroom, peft):
    (peft / "adapter_model.bin").write_bytes(b"\x80\x04.")
    told = homeroom("models", "import", peft)
    assert (told.code, "#pickled-weights" in told.error) == (2, True)


def test_a_config_that_is_no_json_is_one_line(homeroom, peft):
    (peft / "adapter_config.json").write_text("{not json")
    assert homeroom("models", "import", peft).code == 2


def test_a_damaged_safetensors_file_is_one_line(homeroom, peft):
    (peft / "adapter_model.safetensors").write_bytes(b"\xff" * 40)
    told = homeroom("models", "import", peft)
    assert (told.code, told.error.startswith("error: ")) == (2, True)
    assert json.loads(homeroom("models", "list", "--json").out)[1:] == []
