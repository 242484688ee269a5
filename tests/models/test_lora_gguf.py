"""PEFT adapters in the engine: the same answers as in torch, and refusals of what must not be loaded."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from homeroom.errors import ConfigError, ConflictError
from homeroom.models import prepared
from homeroom.models.engine import EngineManager
from homeroom.models.engine_chat import EngineChatModel
from homeroom.models.engine_info import AdapterFile
from homeroom.models.lora_gguf import IDENTITY_KEY, adapter_to_gguf, check_adapter_folder
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.runtime import spawn
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message

from .conftest import random_adapter

QUESTIONS = ["What is the sum of a half and a third?", "Why?", "Draw both pieces.", "The plant needs light, water and air."]


def whole(text):
    """Without a last character that is not whole, which the engine leaves out and a tokenizer writes as U+FFFD."""
    return text.rstrip("\ufffd")


def torch_answers(base, adapter_folder, *, tokens):
    """Greedy answers of transformers with PEFT."""
    torch = pytest.importorskip("torch")
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(base.weights, dtype=torch.float32)
    if adapter_folder is not None:
        model = PeftModel.from_pretrained(model, adapter_folder)
    tokenizer = ChatTokenizer(base.weights)
    answers = []
    for question in QUESTIONS:
        prompt = torch.tensor([tokenizer.prompt_ids([Message("user", question)])])
        out = model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=tokens, do_sample=False, pad_token_id=0
        )
        answers.append(whole(tokenizer.decode(out[0, prompt.shape[1] :].tolist(), skip_special=True)))
    return answers


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT asks by the old name
def test_the_engine_answers_as_torch_does_with_and_without_the_adapter(tiny_base, tmp_path):
    # float32 in both, so that greedy answers must agree to the letter.
    exact = prepared.prepare_folder(tiny_base.weights, "tiny", tmp_path / "cache", quantisation="f32")
    folder = random_adapter(exact, tmp_path / "adapter", seed=5, rank=8, alpha=16.0)
    file = AdapterFile("a", adapter_to_gguf(folder, exact, tmp_path / "a.gguf"), exact.identity)
    manager = EngineManager(exact, home=tmp_path / "home", spawn=spawn, slots=1, threads=1, adapters=lambda: [file])
    settings = GenerationSettings(max_tokens=12)
    try:
        base_model = EngineChatModel("tiny", manager.ensure)
        tuned = EngineChatModel("a", manager.ensure, "a")
        plain = [whole(base_model.complete([Message("user", q)], settings).text) for q in QUESTIONS]
        adapted = [whole(tuned.complete([Message("user", q)], settings).text) for q in QUESTIONS]
        base_model.close()
        tuned.close()
    finally:
        manager.stop()
    assert adapted == torch_answers(exact, folder, tokens=12)
    assert plain == torch_answers(exact, None, tokens=12)
    assert all(a != b for a, b in zip(adapted, plain, strict=True))


def test_rank_stabilised_scaling_is_kept(tiny_base, tmp_path):
    from gguf import GGUFReader

    folder = random_adapter(tiny_base, tmp_path / "a", seed=1, rank=4, alpha=8.0)
    edit(folder, use_rslora=True)
    reader = GGUFReader(str(adapter_to_gguf(folder, tiny_base, tmp_path / "a.gguf")))
    assert reader.get_field("adapter.lora.alpha").contents() == pytest.approx(16.0)  # alpha / sqrt(r) = alpha' / r
    assert reader.get_field("general.type").contents() == "adapter"
    assert len(reader.tensors) == 2 * 7 * 2


def edit(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def folder(tiny_base, tmp_path):
    return random_adapter(tiny_base, tmp_path / "adapter", seed=3)


def test_a_good_folder_passes(folder, tiny_base):
    assert check_adapter_folder(folder, tiny_base)["r"] == 4


@pytest.mark.parametrize("name", ["adapter_model.bin", "optimizer.pt", "extra.pkl"])
def test_pickles_are_refused_unread(folder, tiny_base, name):
    (folder / name).write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    with pytest.raises(ConfigError) as caught:
        check_adapter_folder(folder, tiny_base)
    assert caught.value.code == "pickled-weights"
    assert repr(name) in caught.value.message


@pytest.mark.parametrize("changes", [{"auto_map": {"AutoModel": "x.Y"}}, {"auto_mapping": {"base_model_class": "X"}}])
def test_code_of_its_own_is_refused(folder, tiny_base, changes):
    edit(folder, **changes)
    with pytest.raises(ConfigError) as caught:
        check_adapter_folder(folder, tiny_base)
    assert caught.value.code == "remote-code"


@pytest.mark.parametrize("changes", [{"peft_type": "IA3"}, {"use_dora": True}, {"bias": "all"}, {"rank_pattern": {"q_proj": 2}}])
def test_what_the_engine_cannot_compute_is_refused(folder, tiny_base, changes):
    edit(folder, **changes)
    with pytest.raises(ConfigError) as caught:
        check_adapter_folder(folder, tiny_base)
    assert caught.value.code == "adapter-unsupported"


def test_an_adapter_of_another_base_is_refused(tiny_base, tmp_path):
    other = replace(tiny_base, identity="f" * 64)
    folder = random_adapter(other, tmp_path / "adapter", seed=3)
    with pytest.raises(ConflictError) as caught:
        adapter_to_gguf(folder, tiny_base, tmp_path / "a.gguf")
    assert caught.value.code == "base-mismatch"
    assert not (tmp_path / "a.gguf").exists()


def test_an_identity_in_the_configuration_counts_too(folder, tiny_base):
    save_without_metadata(folder)
    assert check_adapter_folder(folder, tiny_base)
    edit(folder, **{IDENTITY_KEY: "f" * 64})
    with pytest.raises(ConflictError):
        check_adapter_folder(folder, tiny_base)


def save_without_metadata(folder):
    from safetensors.numpy import load_file, save_file

    save_file(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.safetensors")


def test_an_adapter_whose_shapes_do_not_fit_is_refused(folder, tiny_base, tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    stem = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {f"{stem}.lora_A.weight": np.zeros((4, 32), np.float32), f"{stem}.lora_B.weight": np.zeros((64, 4), np.float32)}
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(ConflictError) as caught:
        adapter_to_gguf(folder, tiny_base, tmp_path / "a.gguf")
    assert caught.value.code == "base-mismatch"


def test_a_layer_that_is_no_projection_is_refused(folder, tiny_base, tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"base_model.model.lm_head.lora_A.weight": np.zeros((4, 64), np.float32)}, folder / "adapter_model.safetensors")
    with pytest.raises(ConfigError) as caught:
        adapter_to_gguf(folder, tiny_base, tmp_path / "a.gguf")
    assert caught.value.code == "adapter-unsupported"


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(folder, tiny_base, name):
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=name) as caught:
        check_adapter_folder(folder, tiny_base)
    assert caught.value.code == "adapter-files"


def test_a_cut_file_is_refused(folder, tiny_base, tmp_path):
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigError) as caught:
        adapter_to_gguf(folder, tiny_base, tmp_path / "a.gguf")
    assert caught.value.code == "model-files"
