"""Messages to ids and loss marks."""

from __future__ import annotations

import json
import shutil

import pytest

from homeroom.errors import ConfigError, DataError
from homeroom.models import tiny
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Message

CHAT = (
    Message("user", "What is 12 + 35?"),
    Message("assistant", "I think it is 47.\n\nOk?"),
    Message("user", "Why?"),
    Message("assistant", "Because 1 and 3 is 4."),
)


@pytest.fixture(scope="module")
def tokenizer(tiny_base):
    return ChatTokenizer(tiny_base.weights)


def learnt(tokenizer, messages):
    ids, mask = tokenizer.encode_chat(messages)
    assert len(ids) == len(mask)
    return tokenizer.decode([token for token, keep in zip(ids, mask, strict=True) if keep])


def test_the_mask_covers_each_reply_and_the_end_of_its_turn(tokenizer):
    assert learnt(tokenizer, CHAT) == "I think it is 47.\n\nOk?<|im_end|>Because 1 and 3 is 4.<|im_end|>"


def test_a_turn_of_weight_zero_is_not_learnt(tokenizer):
    silent = (CHAT[0], Message("assistant", CHAT[1].content, 0), *CHAT[2:])
    assert learnt(tokenizer, silent) == "Because 1 and 3 is 4.<|im_end|>"
    assert tokenizer.encode_chat(silent)[0] == tokenizer.encode_chat(CHAT)[0]


def test_the_ids_begin_as_the_prompt_of_each_reply(tokenizer):
    ids, mask = tokenizer.encode_chat(CHAT)
    for turn in (1, 3):
        prompt = tokenizer.prompt_ids(CHAT[:turn])
        assert ids[: len(prompt)] == prompt
        assert mask[len(prompt) - 1 : len(prompt) + 1] == [0, 1]


def test_an_empty_reply_teaches_the_end_of_the_turn(tokenizer):
    assert learnt(tokenizer, (CHAT[0], Message("assistant", ""))) == "<|im_end|>"


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
        {"role": "assistant", "content": "Wait.", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}], "weight": 0},
        {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "tool", "content": "47"},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]},
    ],
)
def test_a_turn_that_is_more_than_its_text_is_not_trained_as_if_it_were_not(tokenizer, turn):
    with pytest.raises(DataError) as caught:
        tokenizer.encode_chat((CHAT[0], Message.from_dict(turn), CHAT[1]))
    assert caught.value.code == "beyond-text"
    assert "Message 1 holds " in caught.value.message


def test_texts_in_parts_and_a_refusal_beside_a_text_are_texts(tokenizer):
    parts = Message.from_dict({"role": "user", "content": [{"type": "text", "text": CHAT[0].content}], "name": "ana"})
    said = Message.from_dict({"role": "assistant", "content": CHAT[1].content, "tool_calls": [], "refusal": None})
    assert tokenizer.encode_chat((parts, said)) == tokenizer.encode_chat(CHAT[:2])


def test_an_end_of_turn_written_inside_a_reply_does_not_end_the_mask(tokenizer):
    assert learnt(tokenizer, (CHAT[0], Message("assistant", "a<|im_end|>b"))) == "a<|im_end|>b<|im_end|>"


def test_without_a_system_turn_the_models_own_default_is_rendered(tokenizer):
    assert tokenizer.render(CHAT[:1]).startswith("<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>")
    own = tokenizer.render((Message("system", "Be brief."), *CHAT[:1]))
    assert own.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")


def test_rendering_and_ids_equal_transformers(tokenizer, tiny_base):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(tiny_base.weights)
    turns = [message.to_dict() for message in CHAT]
    assert theirs.apply_chat_template(turns, tokenize=False) == tokenizer.render(CHAT)
    assert theirs.apply_chat_template(turns)["input_ids"] == tokenizer.encode(tokenizer.render(CHAT))


def with_template(folder, source):
    tiny.build(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": source}))
    return ChatTokenizer(folder)


def test_a_template_that_rewrites_earlier_turns_is_refused(tmp_path):
    forgetful = with_template(
        tmp_path,
        "{% for m in messages %}{{ m.role }}:{{ m.content if loop.last or m.role == 'user' else 'gone' }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}",
    )
    forgetful.encode_chat(CHAT[:2])
    with pytest.raises(DataError) as caught:
        forgetful.encode_chat(CHAT)
    assert caught.value.code == "prefix-unstable"
    assert "Assistant turn 1" in caught.value.message


def test_a_chat_template_may_lie_in_a_file_of_its_own_or_in_a_list(tmp_path, tokenizer):
    named = with_template(tmp_path / "a", [{"name": "rag", "template": "x"}, {"name": "default", "template": tiny.TEMPLATE}])
    assert named.render(CHAT) == tokenizer.render(CHAT)
    folder = tmp_path / "b"
    with_template(folder, "never used")
    (folder / "chat_template.jinja").write_text(tiny.TEMPLATE)
    assert ChatTokenizer(folder).render(CHAT) == tokenizer.render(CHAT)


def test_a_model_that_cannot_chat_is_refused(tmp_path):
    with pytest.raises(ConfigError) as caught:
        with_template(tmp_path, "")
    assert caught.value.code == "no-chat-template"


def test_a_missing_tokenizer_is_named(tmp_path, tiny_base):
    shutil.copytree(tiny_base.weights, tmp_path / "w")
    (tmp_path / "w" / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"tokenizer\.json") as caught:
        ChatTokenizer(tmp_path / "w")
    assert caught.value.code == "model-files"
