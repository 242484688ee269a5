"""Exports: what is written is the model that answers here, and nothing is written that is not."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pytest

from homeroom.app import exporting
from homeroom.app.export_check import Checked
from homeroom.app.exporting import export_model, exported_by
from homeroom.app.home import Homeroom
from homeroom.app.importing import import_model
from homeroom.errors import ConfigError, ConflictError, HomeroomError, StorageError
from homeroom.models import merge, prepared, tiny
from homeroom.models.architectures import to_gguf_rows
from homeroom.models.folder import read_tensors
from homeroom.models.merge import Merged
from tests.app import material
from tests.models.conftest import random_adapter


@pytest.fixture
def opened(_hermetic, home, tmp_path_factory, monkeypatch):
    """A home with the tiny base, and a tutor on it whose adapter changes what it says."""
    material.use_tiny(monkeypatch, material.tiny_cache(tmp_path_factory))
    with Homeroom.open() as found:
        base = found.base_files()
        folder = random_adapter(base, tmp_path_factory.mktemp("adapter") / "a", seed=3)
        import_model(found, str(folder), base=tiny.NAME, task="tutor", suffix="tutor", system_prompt="Teach {subject}.")
        yield found


def tensors(folder):
    return {tensor.name: tensor.load() for tensor in read_tensors(folder)}


def test_merged_weights_are_base_plus_adapter(opened, tmp_path):
    import numpy as np
    from safetensors.numpy import load_file

    found = export_model(opened, "tutor", "merged", tmp_path / "out")
    assert (found.to, found.number, found.checked.passed) == ("merged", "f32", True)
    assert found.checked.figures["same_tokens"] is True
    assert found.checked.figures["largest"] < 1e-4
    base, merged = tensors(opened.base_files().weights), tensors(tmp_path / "out")
    adapter = load_file(opened.artifacts.path(opened.registry.get("tutor").artifact) / "adapter_model.safetensors")
    assert base.keys() == merged.keys()
    changed = set()
    for name, values in base.items():
        stem = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        if f"{stem}A.weight" in adapter:
            changed.add(name)
        added = 8.0 / 4 * adapter[f"{stem}B.weight"] @ adapter[f"{stem}A.weight"] if name in changed else 0
        np.testing.assert_allclose(merged[name], values + added, atol=1e-5)
    assert len(changed) == 2 * 7


def test_a_job_that_died_when_its_folder_was_whole_finds_it(opened, tmp_path):
    found = export_model(opened, "tutor", "gguf", tmp_path / "out", job="job-1")
    assert exported_by(tmp_path / "out", "job-1") == found
    assert exported_by(tmp_path / "out", "job-2") is None and exported_by(tmp_path / "none", "job-1") is None
    (tmp_path / "out" / "export.json").write_text("[]")
    assert exported_by(tmp_path / "out", "job-1") is None


@pytest.mark.parametrize("number", ["f16", "bf16"])
def test_fewer_bits_are_rounded_to_the_nearest(opened, tmp_path, number):
    import torch
    from safetensors.torch import load_file

    base = opened.base_files()
    Merged(base, None).save(tmp_path / "out", number)
    wanted = load_file(base.weights / "model.safetensors")
    kind = {"f16": torch.float16, "bf16": torch.bfloat16}[number]
    for name, values in load_file(tmp_path / "out" / "model.safetensors").items():
        assert torch.equal(values, wanted[name].to(kind))
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == str(kind).removeprefix("torch.")


@pytest.mark.slow
@pytest.mark.parametrize("number", ["f32", "q8_0", "q5_0", "q4_0"])
def test_a_file_for_the_engine_answers_as_the_tuned_model_does(opened, tmp_path, number):
    found = export_model(opened, "tutor", "gguf", tmp_path / "out", number=number)
    assert (tmp_path / "out" / "model.gguf").read_bytes()[:4] == b"GGUF"
    figures = found.checked.figures
    assert figures["places"] >= 30
    assert figures["nats"] < figures["base_nats"] / 2
    assert figures["base_nats"] > 1
    if number in ("f32", "q8_0"):
        assert figures["nats"] < 0.1
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert (record["type"], record["check"]["figures"]) == (number, dict(figures))
    assert record["sha256"] == {"model.gguf": prepared.file_sha256(tmp_path / "out" / "model.gguf")}
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["no adapter", "rows in another order"])
def test_a_wrong_export_is_found_out_and_leaves_nothing(opened, tmp_path, monkeypatch, wrong):
    if wrong == "no adapter":
        monkeypatch.setattr(Merged, "load", lambda self, tensor: tensor.load())
    else:
        monkeypatch.setattr(merge, "from_gguf_rows", to_gguf_rows)
    with pytest.raises(ConflictError) as caught:
        export_model(opened, "tutor", "gguf", tmp_path / "out", number="f16")
    assert caught.value.code == "export-differs"
    with pytest.raises(ConflictError) as caught:
        export_model(opened, "tutor", "merged", tmp_path / "out")
    assert caught.value.code == "export-differs"
    assert list(tmp_path.glob("*out*")) == list(tmp_path.glob(".out*")) == []


@pytest.mark.slow
def test_a_folder_for_ollama_has_the_file_and_how_to_use_it(opened, tmp_path):
    found = export_model(opened, "tutor", "ollama", tmp_path / "out")
    assert found.checked.passed
    lines = (tmp_path / "out" / "Modelfile").read_text().splitlines()
    assert "FROM ./model.gguf" in lines
    assert 'SYSTEM """Teach any subject."""' in lines
    assert 'PARAMETER stop "<|im_end|>"' in lines
    assert "PARAMETER temperature 0" in lines


PASSED = Checked(True, "passed", {})


@pytest.fixture
def unchecked(monkeypatch):
    """Exports whose check takes no time: what is tested is the folder."""
    monkeypatch.setattr(exporting, "check_merged", lambda *arguments: PASSED)


def test_a_folder_that_is_there_is_replaced_only_if_it_is_an_export_and_told_so(opened, tmp_path, unchecked):
    out = tmp_path / "out"
    export_model(opened, "tutor", "merged", out)
    (out / "note.txt").write_text("mine")
    with pytest.raises(ConflictError, match="--force") as caught:
        export_model(opened, "tutor", "merged", out)
    assert caught.value.code == "export-exists"
    assert (out / "note.txt").exists()
    export_model(opened, "tutor", "merged", out, number="bf16", force=True)
    assert not (out / "note.txt").exists()
    assert json.loads((out / "export.json").read_text())["type"] == "bf16"
    (out / "export.json").unlink()
    for force in (False, True):
        with pytest.raises(ConflictError, match="never replaced") as caught:
            export_model(opened, "tutor", "merged", out, force=force)
        assert caught.value.code == "export-exists"
    assert (out / "model.safetensors").exists()


def test_what_a_killed_export_left_is_removed_and_two_at_a_time_are_refused(opened, tmp_path, unchecked):
    from homeroom.storage.held import hold

    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part" / "model.safetensors").write_bytes(b"half")
    with hold(tmp_path / ".out.lock"), pytest.raises(ConflictError) as caught:
        export_model(opened, "tutor", "merged", tmp_path / "out")
    assert caught.value.code == "export-running"
    assert (tmp_path / ".out.part").exists()
    export_model(opened, "tutor", "merged", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out"]


def test_an_export_that_fails_leaves_the_earlier_one(opened, tmp_path, unchecked, monkeypatch):
    out = tmp_path / "out"
    export_model(opened, "tutor", "merged", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(self, folder, number):
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Merged, "save", full)
    with pytest.raises(StorageError) as caught:
        export_model(opened, "tutor", "merged", out, force=True)
    assert caught.value.code == "no-space"
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert list(tmp_path.glob(".out*")) == []


def test_no_space_is_said_before_anything_is_written(opened, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(StorageError, match="1 MB free") as caught:
        export_model(opened, "tutor", "merged", tmp_path / "deep" / "out")
    assert caught.value.code == "no-space"
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "prompt", "method": "dspy"}, "homeroom tune show-prompt"),
        ({"kind": "remote", "method": "openai", "remote_id": "openai/ft:x", "artifact": ""}, "its weights are not here"),
    ],
)
def test_what_has_no_weights_here_is_refused(opened, tmp_path, change, says):
    model = opened.registry.get("tutor")
    other = replace(model, name=model.name.replace(":tutor:", ":other:"), suffix="other", **change)
    opened.registry.register(other)
    with pytest.raises(ConfigError, match=says) as caught:
        export_model(opened, "other", "gguf", tmp_path / "out")
    assert caught.value.code == "export-kind"


@pytest.mark.parametrize(
    ("reference", "to", "number", "code"),
    [
        ("nobody", "gguf", None, "model-not-found"),
        ("tutor", "merged", "q8_0", "export-type"),
        ("tutor", "gguf", "q4_k_m", "export-type"),
    ],
)
def test_mistakes_are_named(opened, tmp_path, reference, to, number, code):
    with pytest.raises(HomeroomError) as caught:
        export_model(opened, reference, to, tmp_path / "out", number=number)
    assert caught.value.code == code
    assert not (tmp_path / "out").exists()


def test_a_base_is_exported_too(opened, tmp_path):
    found = export_model(opened, tiny.NAME, "merged", tmp_path / "out")
    assert found.checked.figures["largest"] == 0
    assert (tmp_path / "out" / "model.safetensors").stat().st_size > 400_000
