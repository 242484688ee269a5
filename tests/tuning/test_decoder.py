"""Our arithmetic against transformers' own forward, for each family and option, with LoRA on the layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from homeroom.tuning.huggingface import decoder
from homeroom.tuning.huggingface.decoder import Decoder, LibraryDecoder
from homeroom.tuning.huggingface.model import make_decoder

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks transformers so
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "max_position_embeddings": 64,
}
FAMILIES = {
    "llama": LlamaConfig(**SIZES),
    "llama with biases": LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
    "llama with scaled positions": LlamaConfig(
        **SIZES,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ),
    "qwen2": Qwen2Config(**SIZES),
    "mistral with wide heads": MistralConfig(**SIZES, head_dim=16, sliding_window=None),
    "qwen3 with wide heads": Qwen3Config(**{**SIZES, "head_dim": 16}),
}
IDS = torch.arange(2 * 11).view(2, 11)


def adapted(config: Any, dtype: torch.dtype = torch.float32, **lora: Any) -> Any:
    """transformers' model with PEFT's LoRA on it; B is not zero."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype).requires_grad_(False).eval()
    for name, weight in model.named_parameters():
        if "norm" in name or "bias" in name:
            torch.nn.init.normal_(weight, 1.0, 0.1)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    peft = get_peft_model(model, LoraConfig(**{"r": 2, "lora_alpha": 6, "target_modules": targets, **lora}))
    for name, weight in peft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, 0.0, 0.2)
    return peft


def gradients(peft: Any, states: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    states.backward(torch.randn_like(states))
    found = {name: p.grad.clone() for name, p in peft.named_parameters() if p.grad is not None}
    peft.zero_grad(set_to_none=True)
    return found


def worst_error(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The largest distance of a gradient from the expected one, as a share of its length.

    Not element by element: sums of hundreds cancel to tiny elements, and each processor adds in another order.
    """
    assert found.keys() == expected.keys()
    return max(float((found[name] - wanted).norm() / wanted.norm()) for name, wanted in expected.items())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dense", [True, False])
def test_every_family_computes_what_transformers_computes(family: str, dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "kept_whole_pays", lambda x: dense)
    peft = adapted(FAMILIES[family])
    library = peft.get_base_model().get_decoder()
    theirs = library(input_ids=IDS, use_cache=False).last_hidden_state
    expected = gradients(peft, theirs)
    ours = make_decoder(peft.get_base_model())
    assert isinstance(ours, Decoder)
    found = ours(IDS)
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-5)
    assert expected
    assert worst_error(gradients(peft, found), expected) < 1e-3
    # The library still computes the same: its weights became views of ours.
    torch.testing.assert_close(library(input_ids=IDS, use_cache=False).last_hidden_state, theirs)


@pytest.mark.parametrize("family", ["llama", "qwen3 with wide heads"])
def test_bfloat16_rounds_no_worse_than_transformers(family: str) -> None:
    exact = adapted(FAMILIES[family])
    wanted = gradients(exact, make_decoder(exact.get_base_model())(IDS))
    errors = []
    for ours in (True, False):
        peft = adapted(FAMILIES[family], torch.bfloat16)
        model = peft.get_base_model()
        states = make_decoder(model)(IDS) if ours else LibraryDecoder(model.get_decoder())(IDS)
        assert states.dtype == torch.bfloat16
        found = gradients(peft, states)
        errors.append(sum(float((found[name].float() - wanted[name]).square().sum()) for name in wanted) ** 0.5)
    assert errors[0] < 1.3 * errors[1]


def test_lora_on_some_layers_and_modules_only() -> None:
    peft = adapted(FAMILIES["qwen2"], target_modules=["k_proj", "up_proj"], layers_to_transform=[1], layers_pattern="layers")
    theirs = LibraryDecoder(peft.get_base_model().get_decoder())(IDS)
    expected = gradients(peft, theirs)
    found = make_decoder(peft.get_base_model())(IDS)
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-5)
    assert worst_error(gradients(peft, found), expected) < 1e-3
    assert len(expected) == 4


def test_the_lower_and_the_upper_layers_make_the_whole() -> None:
    ours = make_decoder(adapted(FAMILIES["llama"]).get_base_model())
    assert isinstance(ours, Decoder)
    for cut in (0, 1, 3):
        assert torch.equal(ours.upper(ours.lower(IDS, cut), cut), ours(IDS))


def test_dropout_is_drawn_in_training_only_and_has_the_right_mean() -> None:
    peft = adapted(FAMILIES["llama"], lora_dropout=0.4)
    layers = peft.get_base_model().model.layers[0].mlp
    linears = decoder.Linears([layers.gate_proj, layers.up_proj])
    x = torch.randn(1, 5, 32)
    with torch.no_grad():
        peft.eval()
        plain = linears(x)
        assert torch.equal(linears(x), plain)
        assert torch.allclose(plain, torch.cat([layers.gate_proj(x), layers.up_proj(x)], -1), atol=1e-5)
        peft.train()
        drawn = torch.stack([linears(x) for _ in range(2000)])
    assert not torch.equal(drawn[0], drawn[1])
    deviation = (drawn.mean(0) - plain) / (drawn.std(0) / 2000**0.5)  # in standard errors
    assert 0.4 < float(deviation.square().mean().sqrt()) < 1.7  # few independent numbers: two ranks, five tokens, two layers


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SIZES, hidden_act="gelu"),
        LlamaConfig(**SIZES, attention_dropout=0.1),
        Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=4, max_window_layers=1),
        MistralConfig(**SIZES, sliding_window=4),
    ],
    ids=["another activation", "dropout in attention", "a sliding window", "a sliding window in every layer"],
)
def test_what_we_do_not_compute_is_left_to_the_library(config: Any) -> None:
    peft = adapted(config)
    ours = make_decoder(peft.get_base_model())
    assert isinstance(ours, LibraryDecoder)
    theirs = peft.get_base_model().get_decoder()(input_ids=IDS, use_cache=False).last_hidden_state
    assert torch.equal(ours(IDS), theirs)
