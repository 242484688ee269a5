"""A two-layer model that trains, exports and serves like a real one in milliseconds: the test double of every base model.

It speaks no language. What it shares with a real base is everything around the weights: a llama configuration, safetensors, a
byte-level BPE tokenizer with ChatML turns, a chat template with a default system message.

    from homeroom.models import prepared, tiny
    base = prepared.prepare_folder(tiny.build(tmp / "tiny"), "tiny", cache)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from homeroom.models.bpe import byte_level_bpe

NAME = "tiny"
CONTEXT_TOKENS = 2048
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

TOOL_MARKS = ("<tool_call>", "</tool_call>")
_TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\n# Tools' }}{% for tool in tools %}{{ '\n' + (tool | tojson) }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endif %}{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    "{% if message.content %}{{ message.content }}{% endif %}{% for call in message.tool_calls or [] %}"
    '{{ \'<tool_call>{"name": "\' + call.function.name + \'", "arguments": \' + (call.function.arguments | tojson)'
    " + '}</tool_call>' }}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_HIDDEN, _LAYERS, _HEADS, _KV_HEADS, _FEED_FORWARD = 64, 2, 4, 2, 128
# Merges are learnt from this, so that common words are one token and a test's sequences stay short.
_TEXT = """You are a helpful AI assistant. system user assistant. What is the sum of a half and a third? I think it is two fifths,
because one and one is two, and two and three is five. Can you draw both pieces? Which of them is larger? Show me on the number
line where you would put your answer. That is right: the parts are not the same size. Try it with quarters first, then tell me
what you notice. The plant needs light, water and air to grow. Why do you think so? How could we test that? Read the sentence
again and find the word that tells you. The learner is not sure. The teacher asks a question and waits."""


def build(folder: Path, seed: int = 0, *, tools: bool = False) -> Path:
    """Write the model into ``folder`` (made if needed) and return it. Equal seeds give equal files; under 1 MB.

    Args:
        folder: Where.
        seed: Of its weights.
        tools: Give it a chat template with a place for tools, and the marks of a call as tokens of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    special = (*SPECIAL, *TOOL_MARKS) if tools else SPECIAL
    vocab, merges = _learn_merges(_TEXT, special, count=200)
    byte_level_bpe(vocab, merges, special=special).save(str(folder / "tokenizer.json"))
    size = -(-len(vocab) // 32) * 32
    config: dict[str, Any] = {  # JSON
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": _HIDDEN,
        "intermediate_size": _FEED_FORWARD,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _KV_HEADS,
        "max_position_embeddings": CONTEXT_TOKENS,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "vocab_size": size,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "float32",
        "bos_token_id": vocab["<|im_start|>"],
        "eos_token_id": vocab["<|im_end|>"],
        "pad_token_id": vocab["<|endoftext|>"],
    }
    tokens = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT_TOKENS,
        "chat_template": _TOOLS if tools else TEMPLATE,
    }
    for name, record in (("config.json", config), ("tokenizer_config.json", tokens)):
        (folder / name).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    _write_weights(folder, size, seed)
    return folder


def _learn_merges(text: str, special: Sequence[str], *, count: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Byte-pair merges of ``text``, most frequent first and ties in order of text: the same on every machine."""
    from tokenizers import pre_tokenizers

    splitter = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    words = [list(word) for word, _ in splitter.pre_tokenize_str(text)]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*special, *alphabet])}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        counts: dict[tuple[str, str], int] = {}
        for word in words:
            for pair in pairwise(word):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        vocab["".join(best)] = len(vocab)
        words = [_merge(word, best) for word in words]
    return vocab, merges


def _merge(word: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in word:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def _write_weights(folder: Path, vocab_size: int, seed: int) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    random = np.random.default_rng(seed)
    head = _HIDDEN // _HEADS
    layer = {
        "self_attn.q_proj": (_HIDDEN, _HIDDEN),
        "self_attn.k_proj": (_KV_HEADS * head, _HIDDEN),
        "self_attn.v_proj": (_KV_HEADS * head, _HIDDEN),
        "self_attn.o_proj": (_HIDDEN, _HIDDEN),
        "mlp.gate_proj": (_FEED_FORWARD, _HIDDEN),
        "mlp.up_proj": (_FEED_FORWARD, _HIDDEN),
        "mlp.down_proj": (_HIDDEN, _FEED_FORWARD),
    }
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab_size, _HIDDEN), "model.norm.weight": (_HIDDEN,)}
    for i in range(_LAYERS):
        shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in layer.items()}
        shapes |= {f"model.layers.{i}.{name}.weight": (_HIDDEN,) for name in ("input_layernorm", "post_attention_layernorm")}
    # Large enough that greedy answers depend on the prompt, so that a wrong adapter or cache shows.
    weights = {
        name: np.ones(shape, np.float32) if len(shape) == 1 else random.normal(0, 0.12, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
