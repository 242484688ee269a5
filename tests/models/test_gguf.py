"""Folders to GGUF and back: what the engine computes is what torch computes, and what cannot be converted is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from homeroom.errors import ConfigError, ProviderError
from homeroom.models import prepared, tiny
from homeroom.models.engine import EngineManager
from homeroom.models.engine_chat import EngineChatModel, engine_render_ids
from homeroom.models.folder import read_json, read_tensors
from homeroom.models.gguf_read import gguf_to_folder
from homeroom.models.gguf_write import QUANTISATIONS, check_convertible, folder_to_gguf, rope_factors
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.runtime import spawn
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.settings.reference import ENGINE_WEIGHTS

PROMPTS = ["What is the sum?", "Draw both pieces and tell me what you notice.", "Why? " * 20]


def test_a_folder_survives_the_way_through_gguf(tmp_path):
    source = tiny.build(tmp_path / "source")
    folder_to_gguf(source, tmp_path / "m.gguf", name="tiny", quantisation="f32")
    gguf_to_folder(tmp_path / "m.gguf", tmp_path / "back")
    before, after = ({t.name: t.load() for t in read_tensors(folder)} for folder in (source, tmp_path / "back"))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    text = "Ünï 12\n\n<|im_end|> the sum"
    first, second = ChatTokenizer(source), ChatTokenizer(tmp_path / "back")
    assert first.encode(text) == second.encode(text)
    assert first.render([Message("user", text)]) == second.render([Message("user", text)])
    config, back = read_json(source / "config.json"), read_json(tmp_path / "back" / "config.json")
    assert {key: back[key] for key in config if key != "rms_norm_eps"} == {k: v for k, v in config.items() if k != "rms_norm_eps"}
    assert back["rms_norm_eps"] == pytest.approx(config["rms_norm_eps"])


def test_eight_bit_weights_are_close(tmp_path):
    source = tiny.build(tmp_path / "source")
    folder_to_gguf(source, tmp_path / "m.gguf", name="tiny")
    gguf_to_folder(tmp_path / "m.gguf", tmp_path / "back")
    for before, after in zip(read_tensors(source), read_tensors(tmp_path / "back"), strict=True):
        assert np.abs(before.load() - after.load()).max() < 0.004


def engine_answers(base, home):
    manager = EngineManager(base, home=home, spawn=spawn, slots=1, context=512, threads=1)
    model = EngineChatModel(base.name, manager.ensure)
    tokenizer = ChatTokenizer(base.weights)
    try:
        for prompt in PROMPTS:
            messages = [Message("user", prompt)]
            assert engine_render_ids(manager.ensure(), messages) == tokenizer.prompt_ids(messages)
        replies = [model.complete([Message("user", p)], GenerationSettings(max_tokens=10)) for p in PROMPTS]
        return [
            reply.text.rstrip("\ufffd") for reply in replies
        ]  # a last character that is not whole is left out by one side only
    finally:
        model.close()
        manager.stop()


def torch_model(folder, name, **changes):
    """A random model of another architecture around the tiny tokenizer, written by transformers itself."""
    torch = pytest.importorskip("torch")
    import transformers

    tiny.build(folder)
    config = read_json(folder / "config.json")
    for key in ("architectures", "model_type", "torch_dtype", "attention_bias", "mlp_bias"):
        config.pop(key)
    (folder / "model.safetensors").unlink()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config_class = getattr(transformers, f"{name}Config")
    model = getattr(transformers, f"{name}ForCausalLM")(config_class(**{**config, "initializer_range": 0.12, **changes})).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("bias") or "q_norm" in key or "k_norm" in key:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer = ChatTokenizer(folder)
    answers = []
    for text in PROMPTS:
        prompt = torch.tensor([tokenizer.prompt_ids([Message("user", text)])])
        out = model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=10, do_sample=False, pad_token_id=0
        )
        answers.append(tokenizer.decode(out[0, prompt.shape[1] :].tolist(), skip_special=True).rstrip("\ufffd"))
    return answers


LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
OTHERS = [
    ("Llama", {"rope_parameters": {**LLAMA3, "original_max_position_embeddings": 64}}),
    ("Llama", {"head_dim": 32, "tie_word_embeddings": False}),
    ("Qwen2", {}),
    ("Qwen3", {"head_dim": 32}),
]


@pytest.mark.parametrize(("name", "changes"), OTHERS, ids=["llama3-rope", "untied", "qwen2", "qwen3"])
def test_the_engine_answers_as_torch_does(tmp_path, name, changes):
    expected = torch_model(tmp_path / "model", name, **changes)
    base = prepared.prepare_folder(tmp_path / "model", "other", tmp_path / "cache", quantisation="f32")
    assert engine_answers(base, tmp_path / "home") == expected


def test_half_precision_weights_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    folder = tiny.build(tmp_path / "t")
    full = load_file(folder / "model.safetensors")
    save_file({name: tensor.bfloat16() for name, tensor in full.items()}, folder / "model.safetensors")
    for tensor in read_tensors(folder):
        assert np.array_equal(tensor.load(), full[tensor.name].bfloat16().to(torch.float32).numpy())


def changed(folder, **changes):
    tiny.build(folder)
    config = read_json(folder / "config.json")
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


@pytest.mark.parametrize(
    "changes",
    [{"architectures": ["Gemma2ForCausalLM"]}, {"architectures": []}, {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}],
)
def test_other_architectures_name_the_alternative(tmp_path, changes):
    with pytest.raises(ConfigError, match="OpenAI-compatible") as caught:
        check_convertible(changed(tmp_path / "t", **changes), "org/model")
    assert caught.value.code == "architecture-unsupported"
    with pytest.raises(ConfigError):
        prepared.prepare_folder(tmp_path / "t", "m", tmp_path / "cache")
    assert not (tmp_path / "cache" / "bases").exists()  # found out before anything was made


def test_other_tokenizers_are_refused(tmp_path):
    folder = tiny.build(tmp_path / "t")
    tokenizer = read_json(folder / "tokenizer.json")
    tokenizer["pre_tokenizer"] = {"type": "Metaspace"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ConfigError, match="Metaspace") as caught:
        check_convertible(folder, "org/model")
    assert caught.value.code == "tokenizer-unsupported"


def test_llama3_factors_run_from_one_to_the_whole():
    factors = rope_factors(
        {"hidden_size": 2048, "num_attention_heads": 32, "rope_theta": 500000.0}
        | {"rope_scaling": {**LLAMA3, "original_max_position_embeddings": 8192}}
    )
    assert len(factors) == 32
    assert (factors[0], factors[-1]) == (1.0, 32.0)
    assert factors == sorted(factors)


def test_a_damaged_engine_file_does_not_start(tmp_path):
    base = prepared.prepare_folder(tiny.build(tmp_path / "t"), "tiny", tmp_path / "cache")
    copy = tmp_path / "copy"
    shutil.copytree(base.folder, copy)
    (copy / "model.gguf").chmod(0o644)
    (copy / "model.gguf").write_bytes(base.gguf.read_bytes()[:50_000])
    from dataclasses import replace

    manager = EngineManager(replace(base, gguf=copy / "model.gguf"), home=tmp_path / "home", spawn=spawn, threads=1)
    with pytest.raises(ProviderError, match=r"engine\.log") as caught:
        manager.ensure()
    assert caught.value.code == "engine-start"
    assert not (tmp_path / "home" / "run" / "engine.json").exists()
    manager.stop()


@pytest.mark.slow
def test_the_real_model_is_unpacked_as_transformers_does(real_base):
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (source,) = (real_base.folder.parents[1] / "sources").glob("*/SmolLM2-135M-Instruct.Q4_1.gguf")
    theirs = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32).state_dict()
    for tensor in read_tensors(real_base.weights):
        assert np.array_equal(tensor.load(), theirs[tensor.name].numpy()), tensor.name
    tokenizer = AutoTokenizer.from_pretrained(real_base.weights)
    text = "Grüße 12 + 35 =\n\n 47 <|im_end|> don't"
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == ChatTokenizer(real_base.weights).encode(text)


@pytest.mark.parametrize("kind", QUANTISATIONS)
def test_every_number_format_is_written_and_answers(tmp_path, tiny_base, kind):
    made = prepared.engine_file(tiny_base, tmp_path / "cache", kind)
    assert (made.gguf == tiny_base.gguf) == (kind == "q8_0")  # that one was made when the base was prepared
    manager = EngineManager(made, home=tmp_path / "home", spawn=spawn, slots=1, context=256, threads=1)
    model = EngineChatModel("tiny", manager.ensure)
    try:
        assert model.complete([Message("user", "Why?")], GenerationSettings(max_tokens=4)).usage.completion_tokens == 4
    finally:
        model.close()
        manager.stop()
    before = made.gguf.stat().st_mtime_ns
    assert prepared.engine_file(tiny_base, tmp_path / "cache", kind).gguf.stat().st_mtime_ns == before


def test_smaller_formats_make_smaller_files_of_the_same_weights(tmp_path, tiny_base):
    sizes, errors = [], []
    exact = {tensor.name: tensor.load() for tensor in read_tensors(tiny_base.weights)}
    for kind in QUANTISATIONS:
        made = prepared.engine_file(tiny_base, tmp_path / "cache", kind)
        gguf_to_folder(made.gguf, tmp_path / kind)
        sizes.append(made.gguf.stat().st_size)
        name = "model.layers.1.mlp.down_proj.weight"
        back = next(tensor for tensor in read_tensors(tmp_path / kind) if tensor.name == name)
        errors.append(float(np.abs(back.load() - exact[name]).max()))
    assert sizes == sorted(sizes, reverse=True)
    assert errors[0] == 0 < errors[1] < errors[3] < errors[5] < errors[7] < 0.1
    assert list(ENGINE_WEIGHTS) == list(QUANTISATIONS)
