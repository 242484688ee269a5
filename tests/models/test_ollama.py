"""Templates for Ollama: the pieces give what the chat template gives, and a template of another kind is refused."""

from __future__ import annotations

import json

import pytest

from homeroom.errors import ConfigError
from homeroom.models import tiny
from homeroom.models.ollama import modelfile, turns_of
from homeroom.models.template import render
from homeroom.schema.chat import GenerationSettings

LLAMA_3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('no system turn') }}"
    "{% elif message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
    "{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)
GEMMA_LIKE = (  # the system's text goes into the first question
    "{% for message in messages %}{% if message['role'] == 'system' %}{% else %}<{{ message['role'] }}>"
    "{% if loop.index0 == 1 and messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}\n{% endif %}"
    "{{ message['content'] }}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
SECRETIVE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] | upper }}{% endfor %}<assistant>"
COUNTING = (  # what is around a turn depends on its place
    "{% for message in messages %}<{{ loop.index }} {{ message['role'] }}>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TALKS = (
    [("user", "Why?")],
    [
        ("system", "Be kind."),
        ("user", "Why?"),
        ("assistant", "Look."),
        ("user", "Oh {{ now }}"),
        ("assistant", "Good."),
        ("user", "x"),
    ],
)


def folder_with(tmp_path, template):
    folder = tiny.build(tmp_path / "model")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    return folder


@pytest.mark.parametrize("template", [tiny.TEMPLATE, LLAMA_3])
def test_the_pieces_give_what_the_template_gives(tmp_path, template):
    turns = turns_of(folder_with(tmp_path, template), "x")
    for talk in TALKS:
        messages = [{"role": role, "content": content} for role, content in talk]
        known = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "add_generation_prompt": True}
        assert turns.render(talk) == render(template, messages, known)


def test_a_template_without_system_turns_is_written_without(tmp_path):
    turns = turns_of(folder_with(tmp_path, MISTRAL), "x")
    assert turns.unprompted == "<|im_start|>"
    assert turns.around == {"user": ("[INST] ", " [/INST]"), "assistant": ("", "<|im_end|>")}
    assert turns.reply == ""


@pytest.mark.parametrize("template", [SECRETIVE, COUNTING, "{{ messages[-1]['content'] }}"])
def test_a_template_that_does_more_is_refused(tmp_path, template):
    with pytest.raises(ConfigError, match="--to gguf") as caught:
        turns_of(folder_with(tmp_path, template), "x")
    assert caught.value.code == "export-template"


def test_a_system_text_that_moves_into_the_question_is_no_turn_of_its_own(tmp_path):
    turns = turns_of(folder_with(tmp_path, GEMMA_LIKE), "x")
    assert "system" not in turns.around


def test_the_go_template_says_the_same(tmp_path):
    assert turns_of(folder_with(tmp_path, tiny.TEMPLATE), "x").go() == (
        "{{ if not .System }}<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n{{ end }}"
        '{{ range .Messages }}{{ if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "assistant" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n{{ end }}{{ end }}'
        "<|im_start|>assistant\n"
    )
    braces = turns_of(folder_with(tmp_path, tiny.TEMPLATE.replace("a helpful", "a {{ helpful")), "x").go()
    assert 'You are a {{ "{{" }} helpful AI' in braces


def test_a_modelfile_carries_prompt_and_settings(tmp_path):
    folder = folder_with(tmp_path, tiny.TEMPLATE)
    settings = GenerationSettings(temperature=0.7, top_p=0.9, max_tokens=64, stop=('a "b"\n',), seed=5, repeat_penalty=1.1)
    lines = modelfile("m.gguf", folder, "x", settings, system="Be kind.\nAsk.", context_tokens=512).split("\n")
    assert lines[:2] == ["# x", "FROM ./m.gguf"]
    assert {"PARAMETER num_ctx 512", "PARAMETER temperature 0.7", "PARAMETER top_p 0.9", "PARAMETER seed 5"} <= set(lines)
    assert {"PARAMETER num_predict 64", "PARAMETER repeat_penalty 1.1", 'PARAMETER stop "a \\"b\\"\\n"'} <= set(lines)
    assert 'SYSTEM """Be kind.' in lines
    with pytest.raises(ConfigError) as caught:
        modelfile("m.gguf", folder, "x", settings, system='Say """.')
    assert caught.value.code == "export-template"
