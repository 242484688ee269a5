"""Which tokens carry loss, and which examples take part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from homeroom.errors import DataError
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Example, Message
from homeroom.tuning.huggingface.encode import encode_examples, select
from homeroom.tuning.huggingface.pairs import encode_pairs
from tests.tuning.conftest import TRAIN, dialogue, recipe_of


def learnt(tokenizer: ChatTokenizer, example: Example, **changes: object) -> str:
    """The text that carries loss, pieces parted by ``/``."""
    sequence = encode_examples([example], recipe_of(**changes), tokenizer).sequences[0]
    text, before = "", 0
    for token, marked in zip(sequence.ids, sequence.mask, strict=True):
        if marked:
            text += ("" if before or not text else "/") + tokenizer.decode([token])
        before = marked
    return text


def test_only_the_reply_and_its_end_carry_loss(tokenizer: ChatTokenizer) -> None:
    assert learnt(tokenizer, dialogue("Do plants eat?", "Light?")) == "Light?<|im_end|>"


def test_the_mask_of_a_short_dialogue_is_as_counted_by_hand(tokenizer: ChatTokenizer) -> None:
    messages = (Message("system", "s"), Message("user", "u"), Message("assistant", "ab"))
    sequence = encode_examples([Example(messages)], recipe_of(), tokenizer).sequences[0]
    texts = [tokenizer.decode([i]) for i in sequence.ids]
    assert (
        "".join(texts) == "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\nab<|im_end|>\n"
    )
    assert texts[-4:] == ["a", "b", "<|im_end|>", "\n"]
    assert sequence.mask == (*[0] * (len(texts) - 4), 1, 1, 1, 0)
    assert (sequence.labels, sequence.input_length) == (3, len(texts) - 2)  # the end of the turn is predicted, never read


def test_every_assistant_turn_is_learnt_but_those_of_weight_0(tokenizer: ChatTokenizer) -> None:
    assert learnt(tokenizer, dialogue("q", "one", "two", "three")) == "one<|im_end|>/two<|im_end|>/three<|im_end|>"
    turns = ("user", "q", None), ("assistant", "one", 0), ("user", "why?", None), ("assistant", "two", 1)
    weighted = Example(tuple(Message(role, text, weight) for role, text, weight in turns))  # type: ignore[arg-type]
    assert learnt(tokenizer, weighted) == "two<|im_end|>"


def test_examples_without_anything_to_learn_are_left_out_and_counted(tokenizer: ChatTokenizer) -> None:
    silent = Example((Message("user", "q"), Message("assistant", "a", 0)))
    encoded = encode_examples([silent, TRAIN[0]], recipe_of(), tokenizer)
    assert (len(encoded.sequences), encoded.without_labels) == (1, 1)
    assert encoded.report("training") == "1 training example (1 left out without a reply to learn from)"


def test_the_recipes_prompt_stands_before_examples_that_have_none(tokenizer: ChatTokenizer) -> None:
    recipe = recipe_of(system_prompt="You teach {subject}.")
    own = Example((Message("system", "Own."), *TRAIN[0].messages))
    encoded = encode_examples([dialogue("q", "a", subject="science"), own], recipe, tokenizer)
    assert [example.messages[0].content for example in encoded.examples] == ["You teach science.", "Own."]
    assert "You teach science." in tokenizer.decode(encoded.sequences[0].ids)


def test_long_examples_are_cut_at_a_turn_or_left_out(tokenizer: ChatTokenizer) -> None:
    long = dialogue("q", "one", "two " * 60)
    limit = {"max_sequence_tokens": 100}
    cut = encode_examples([long, dialogue("q", "x " * 90)], recipe_of(data=limit), tokenizer)
    assert [m.content for m in cut.examples[0].messages] == ["q", "one"]
    assert (len(cut.sequences), cut.cut, cut.too_long) == (1, 1, 1)
    assert cut.report("training") == "1 training example (1 cut at a turn to fit, 1 left out as too long)"
    left_out = encode_examples([long], recipe_of(data={**limit, "too_long": "leave-out"}), tokenizer)
    assert (len(left_out.sequences), left_out.too_long) == (0, 1)


def test_an_example_of_exactly_the_limit_stays_whole(tokenizer: ChatTokenizer) -> None:
    example = dialogue("q", "one", "two")
    whole = encode_examples([example], recipe_of(), tokenizer).sequences[0]
    fits = encode_examples([example], recipe_of(data={"max_sequence_tokens": whole.input_length}), tokenizer)
    cut = encode_examples([example], recipe_of(data={"max_sequence_tokens": whole.input_length - 1}), tokenizer)
    assert (fits.cut, cut.cut) == (0, 1)


def test_selection_takes_the_task_and_a_seeded_sample() -> None:
    learners = [dialogue(f"q{i}", "a", task="learner") for i in range(8)]
    assert select([*TRAIN, *learners], recipe_of(task="learner")) == learners
    assert len(select([*TRAIN, *learners], recipe_of(task="any"))) == len(TRAIN) + 8
    few = [select(learners, recipe_of(task="learner", seed=seed, data={"max_examples": 3})) for seed in (0, 0, 1)]
    assert len(few[0]) == 3
    assert few[0] == few[1] != few[2]
    assert [learners.index(e) for e in few[0]] == sorted(learners.index(e) for e in few[0])


def test_calls_of_tools_are_refused_together_and_never_trained_as_empty_replies(tokenizer: ChatTokenizer) -> None:
    call = Message("assistant", "", None, {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]})
    calling = Example((Message("user", "Add."), call))
    with pytest.raises(DataError) as caught:
        encode_examples(
            [TRAIN[0], calling, replace(calling, messages=(*calling.messages, Message("tool", "4")))], recipe_of(), tokenizer
        )
    assert (caught.value.code, len(caught.value.problems)) == ("beyond-text", 2)
    assert "example 2 " in str(caught.value)
    assert "example 3 " in str(caught.value)
    worse = replace(TRAIN[0], extra={"rejected": [call.to_dict()]})
    with pytest.raises(DataError) as caught:
        encode_pairs([worse], recipe_of(), tokenizer)
    assert caught.value.code == "beyond-text"


def test_examples_that_would_train_other_tokens_are_refused_together(base, tmp_path) -> None:  # type: ignore[no-untyped-def]
    import json
    import shutil

    folder = shutil.copytree(base.weights, tmp_path / "trims")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = settings["chat_template"].replace("message['content']", "message['content'] | trim")
    (folder / "tokenizer_config.json").chmod(0o644)
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                **settings,
                "chat_template": "{% for m in messages %}{{ m['role'] + m['content'] + messages | length | string }}{% endfor %}",
            }
        )
    )
    with pytest.raises(DataError) as caught:
        encode_examples([dialogue("q", "one", "two"), TRAIN[0], dialogue("r", "one", "two")], recipe_of(), ChatTokenizer(folder))
    assert caught.value.code == "prefix-unstable"
    assert str(caught.value).startswith("3 examples cannot be trained on:\n")
    assert [problem.rule for problem in caught.value.problems] == ["prefix-unstable"] * 3
