"""The test double of every base model."""

from __future__ import annotations

import pytest

from homeroom.models import tiny
from homeroom.models.prepared import file_sha256
from homeroom.models.tokenizer import ChatTokenizer


def test_equal_seeds_give_equal_files_and_other_seeds_other_weights(tmp_path):
    first, second, other = (tiny.build(tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    hashes = [{path.name: file_sha256(path) for path in sorted(folder.iterdir())} for folder in (first, second, other)]
    assert hashes[0] == hashes[1]
    assert {name for name in hashes[0] if hashes[0][name] != hashes[2][name]} == {"model.safetensors"}


def test_it_is_smaller_than_a_megabyte(tmp_path):
    assert sum(path.stat().st_size for path in tiny.build(tmp_path / "t").iterdir()) < 1_000_000


@pytest.mark.parametrize("text", ["What is the sum?", "ünï ∑ 🙂\n\n\tx", "12345", ""])
def test_its_tokenizer_gives_every_text_back(tmp_path, text):
    tokenizer = ChatTokenizer(tiny.build(tmp_path / "t"))
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_transformers_loads_it(tmp_path):
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny.build(tmp_path / "t"))
    assert model.config.num_hidden_layers == 2
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
