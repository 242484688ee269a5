"""Broken lines, records and metadata; learners without consent; what makes a record useless for tuning."""

from __future__ import annotations

import json
import random

from tests.data.planted.plant import Planted, among, kind, prompts, put, replies, turn
from tests.data.planted.sources import Record, Sources


def _text(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False)


@kind("json-broken")
def json_broken(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A line that is no JSON."""
    text = _text(sources.any(rng))
    ways = (
        ("cut off", text[: rng.randint(20, len(text) - 2)]),
        ("two records", text + text),
        ("trailing comma", text[:-1] + ",}"),
        ("single quotes", text.replace('"', "'")),
        ("a quote inside not escaped", text.replace('"content": "', '"content": "He said "no". ', 1)),
        ("a comma lost", text.replace('", "', '" "', 1)),
        ("Python's None", text[:-1] + ', "context": None}'),
        ("a comment", "// first batch\n" + text),
        ("a bracket lost", text.replace("]", "", 1)),
        ("a raw line break", text.replace("content", "con\ntent", 1)),
    )
    what, broken = turn(ways, number)  # type: ignore[arg-type]
    return among(sources, rng, broken, what)


@kind("not-object")
def not_object(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    ways = ([record], record["messages"], "a text", 7, None, True, [[1]], json.dumps(record), [], 1.5)
    return among(sources, rng, json.dumps(ways[number % len(ways)]), str(type(ways[number % len(ways)])))


@kind("messages-missing")
def messages_missing(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    turns = record.pop("messages")
    key, value = (("mesages", turns), ("messages", []), ("Messages", turns), ("messages", None), ("messages", "hello"))[
        number % 5
    ]
    return among(
        sources, rng, {key: value, **record} if number < 8 else {**record, "text": "Hi"}, f"{key}: {type(value).__name__}"
    )


@kind("message-not-object")
def message_not_object(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    record["messages"][rng.randrange(len(record["messages"]))] = ("Hello", ["user", "Hello"], None, 3, True)[number % 5]
    return among(sources, rng, record, "a message is no object")


@kind("role-unknown")
def role_unknown(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    role = ("tutor", "student", "bot", "Assistant", "human", "gpt", "teacher", "model", "", "user ")[number % 10]
    rng.choice(record["messages"])["role"] = role
    return among(sources, rng, record, f"role {role!r}", subtle=role in ("Assistant", "user "))


@kind("content-missing")
def content_missing(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    message = rng.choice(record["messages"])
    value = message.pop("content")
    message.update(({"text": value}, {"content": None}, {"content": [value]}, {"Content": value}, {"content": 5})[number % 5])
    return among(sources, rng, record, f"{sorted(message)}")


@kind("content-empty")
def content_empty(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    rng.choice(record["messages"])["content"] = ("", " ", "\n", "\t\n ", "\u00a0", "\u200b", "   ", "\r\n", "\u3000", "\ufeff")[
        number % 10
    ]
    return among(sources, rng, record, "an empty turn", subtle=number % 10 in (4, 5, 8, 9))


@kind("role-order")
def role_order(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.mathdial(rng)
    turns = record["messages"]
    if number % 4 == 0:
        turns.insert(1, {"role": "user", "content": "Anyone there?"})
    elif number % 4 == 1:
        turns.insert(2, {"role": "assistant", "content": "Take your time."})
    elif number % 4 == 2:
        turns.insert(2, {"role": "system", "content": "Guide, do not tell."})
    else:
        del turns[0]
    return among(sources, rng, record, f"order {[m['role'][0] for m in turns]}")


@kind("assistant-missing")
def assistant_missing(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    record["messages"] = prompts(record)[:1]
    return among(sources, rng, record, "no reply")


@kind("last-not-assistant")
def last_not_assistant(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    said = ("thanks!", "ok", "And now?", "I see.", "bye")[number % 5]
    record["messages"].append({"role": "user", "content": said})
    return among(sources, rng, record, said)


@kind("weight-invalid")
def weight_invalid(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    if number % 5 == 0:
        prompts(record)[0]["weight"] = 1
    elif number % 5 == 1:
        for message in replies(record):
            message["weight"] = 0
    else:
        replies(record)[-1]["weight"] = (0.5, 2, "1")[number % 5 - 2]
    return among(sources, rng, record, f"weights {[m.get('weight') for m in record['messages']]}", subtle=number % 5 == 1)


@kind("metadata-invalid")
def metadata_invalid(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    key, value = (
        ("metadata", ["grade", 4]),
        ("metadata", "grade 4"),
        ("reference", "12"),
        ("context", "The text."),
        ("reference", [12]),
    )[number % 5]
    record[key] = value
    return among(sources, rng, record, f"{key}: {value!r}")


@kind("grade-invalid")
def grade_invalid(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.course(rng)
    record["metadata"].pop("grade_band", None)
    record["metadata"]["grade"] = (13, -1, "fourth", "4th", 4.5, 99, "K-2", True, "grade 3", "")[number % 10]
    return among(sources, rng, record, f"grade {record['metadata']['grade']!r}")


@kind("grade-band-mismatch")
def band_mismatch(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.course(rng)
    band = next(b for b in ("9-12", "K-2") if b != record["metadata"]["grade_band"])
    record["metadata"]["grade_band"] = (band, "3-8", "primary", "6-9", band)[number % 5]
    return among(
        sources,
        rng,
        record,
        f"{record['metadata']['grade']} in {record['metadata']['grade_band']!r}",
        subtle=number % 5 in (0, 4),
    )


@kind("value-unknown")
def value_unknown(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    ways = (
        ("difficulty", "tough"),
        ("question_type", "opinion"),
        ("consent", "yes"),
        ("task", "teacher"),
        ("difficulty", "Easy"),
    )
    key, value = ways[number % 5]
    record["metadata"][key] = value
    return among(sources, rng, record, f"{key} {value!r}", subtle=number % 5 == 4)


@kind("key-unknown")
def key_unknown(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    key = ("metdata", "subject", "notes", "refernce", "id")[number % 5]
    record[key] = {"x": 1} if number % 2 else "x"
    return among(sources, rng, record, key)


@kind("beyond-text")
def beyond_text(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A turn that calls a tool, answers as one, shows more than text or refuses, written as chat services write it."""
    record = sources.any(rng)
    reply, prompt = replies(record)[-1], prompts(record)[-1]
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    if number == 0:
        reply.update(content=None, tool_calls=[call])
    elif number == 1:
        reply.update(tool_calls=[call, call])
    elif number == 2:
        reply.update(content=None, function_call={"name": "add", "arguments": "{}"})
    elif number == 3:
        place = record["messages"].index(reply)
        record["messages"][place:place] = [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        ]
    elif number == 4:
        record["messages"].insert(record["messages"].index(reply), {"role": "tool", "tool_call_id": "call_1", "content": "3"})
    elif number == 5:
        reply.update(content=None, refusal="I cannot help with that.")
    else:
        part = (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "input_image", "file_id": "file-1"},
        )[number - 6]
        prompt["content"] = [{"type": "text", "text": prompt["content"]}, part]
    what = (
        "a call alone", "text and calls", "a call in the old form", "a call and its answer", "an answer without its call",
        "only a refusal", "an image", "a sound", "a file", "an image by its file",
    )  # fmt: skip
    return among(sources, rng, record, what[number % 10], subtle=number in (1, 4))


@kind("encoding")
def encoding(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    put(rng, rng.choice(record["messages"]), "Le café coûte 3 €, naïve Größe.")
    raw = _text(record)
    data = raw.encode("cp1252", "replace") if number % 2 else raw.encode()[:40] + b"\xff\xfe" + raw.encode()[40:]
    return among(sources, rng, data, "not UTF-8")


@kind("line-too-long")
def line_too_long(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    replies(record)[-1]["content"] += " na" * (3_000_000 + 100_000 * number)
    return among(sources, rng, record, "over 8 MB")


@kind("nesting")
def nesting(sources: Sources, rng: random.Random, number: int) -> Planted:
    depth = 3_000 + 1_000 * number
    record = _text(sources.any(rng))
    return among(sources, rng, record[:-1] + ', "x": ' + "[" * depth + "]" * depth + "}", f"{depth} deep")


@kind("not-finite")
def not_finite(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    value = (float("nan"), float("inf"), float("-inf"))[number % 3]
    record["metadata" if number % 2 else "reference"] = {**record["metadata"], "score": value}
    return among(sources, rng, record, str(value))


@kind("key-duplicate")
def key_duplicate(sources: Sources, rng: random.Random, number: int) -> Planted:
    text = _text(sources.any(rng))
    if number % 2:
        return among(
            sources, rng, text.replace('"role": "user"', '"role": "user", "role": "system"', 1), "role twice", subtle=True
        )
    return among(sources, rng, text[:-1] + ', "metadata": {}}', "metadata twice")


@kind("character-invalid")
def character_invalid(sources: Sources, rng: random.Random, number: int) -> Planted:
    """NUL or half of a surrogate pair, as an escape."""
    record = sources.any(rng)
    message = rng.choice(record["messages"])
    sign = ("\x00", "\ud83d", "\x00\x00", "\udc4d", "\ud800")[number % 5]
    place = rng.randint(1, len(message["content"]) - 1)
    message["content"] = message["content"][:place] + sign + message["content"][place:]
    return among(sources, rng, json.dumps(record), repr(sign), subtle=True)


@kind("consent-refused")
def consent_refused(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    record["metadata"].update({"source": "learner", "consent": ("refused", "withdrawn")[number % 2]})
    return among(sources, rng, record, record["metadata"]["consent"])


@kind("consent-missing")
def consent_missing(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    record["metadata"]["source"] = "learner"
    record["metadata"].pop("consent", None)
    if number % 3:
        record["metadata"]["consent"] = (None, "not-required")[number % 3 - 1]
    return among(sources, rng, record, f"consent {record['metadata'].get('consent')!r}", subtle=bool(number % 3))


@kind("duplicate-turn")
def duplicate_turn(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A reply or a prompt that stands twice in its record."""
    record = sources.mathdial(rng)
    while len(replies(record)) < 2:
        record = sources.mathdial(rng)
    turns = replies(record) if number % 2 else prompts(record)
    if len(turns) < 2:
        turns = replies(record)
    turns[-1]["content"] = turns[-2]["content"] if number < 6 else turns[-2]["content"].replace("  ", " ").upper()
    return among(sources, rng, record, turns[-1]["content"][:60], subtle=number >= 6)


@kind("context-missing")
def context_missing(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A reply that points at something that is not there."""
    said = (
        "Look at the picture above: what do you see on the left?",
        "As the passage says, the fox was hungry. Which word tells you so?",
        "Read the second paragraph of the text again.",
        "Use the table below to find the number for Tuesday.",
        "In the diagram, which arrow is longer?",
        "The graph shows a steep part. What happens there?",
        "According to the article, who opened the bridge?",
        "Check the worksheet that I attached.",
        "What does the map show north of the river?",
        "In the figure, angle B is marked. What is it?",
    )
    record = sources.course(rng, subject="mathematics" if number % 2 else "science")
    record.pop("context", None)
    record["messages"] = [
        {"role": "user", "content": "I am not sure about number 3. Can you help me?"},
        {"role": "assistant", "content": turn(said, number)},
    ]
    return among(sources, rng, record, turn(said, number))


@kind("metadata-missing")
def metadata_missing(sources: Sources, rng: random.Random, number: int) -> Planted:
    """No metadata, or without what a split and a report need."""
    record = sources.course(rng)
    if number % 2 == 0:
        record.pop("metadata")
    else:
        for key in ("subject", "grade", "grade_band"):
            record["metadata"].pop(key, None)
    return among(sources, rng, record, "no metadata" if number % 2 == 0 else "no subject, no grade")


@kind("too-few")
def too_few(sources: Sources, rng: random.Random, number: int) -> Planted:
    method, count = (("dspy", 3), ("openai", 7), ("huggingface", 12), ("dspy", 2), ("openai", 9), ("huggingface", 40))[number % 6]
    return Planted(sources.many(rng, count), (), f"{count} for {method}", options=(("method", method),))


@kind("too-long")
def too_long(sources: Sources, rng: random.Random, number: int) -> Planted:
    """Over the token limit that was given."""
    record = sources.any(rng)
    limit = (256, 512, 1024, 4096, 2048)[number % 5]
    while sum(len(m["content"]) for m in record["messages"]) < limit * 5:
        put(rng, prompts(record)[0], sources.story(rng))
    return among(sources, rng, record, f"over {limit} tokens", options=(("max_tokens", limit),))


@kind("cut-off")
def cut_off(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A last reply that ends in the middle."""
    record = sources.course(rng)
    while len(replies(record)[-1]["content"].split()) < 15:
        record = sources.course(rng)
    message = replies(record)[-1]
    words = message["content"].split()
    cut = words[: rng.randint(8, len(words) - 3)]
    while cut and (cut[-1][-1] in ".?!:;\"')" or cut[-1].lower() in ("right", "yes", "so")):
        cut.pop()
    cut.append(("the", "and", "because", "of", "with")[number % 5])
    message["content"] = " ".join(cut)
    if number >= 5:
        message["content"] = " ".join(cut[:-1])[: -rng.randint(1, 2)]
    return among(sources, rng, record, message["content"][-50:], subtle=number >= 5)


@kind("template-mark")
def template_mark(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A mark of a chat format."""
    marks = (
        "<|im_end|>",
        "[/INST]",
        "<|assistant|>",
        "</s>",
        "<|endoftext|>",
        "<start_of_turn>model",
        "<|eot_id|>",
        "<s>",
        "[INST]",
        "<|im_start|>user",
    )
    mark = turn(marks, number)
    record = sources.any(rng)
    put(rng, rng.choice(record["messages"]), mark, ("start", "end")[number % 2])
    return among(sources, rng, record, mark)


@kind("template-rest")
def template_rest(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A blank that nobody filled in."""
    rests = (
        ("Hello {student_name}, let us begin.", "start"),
        ("[INSERT EXAMPLE HERE]", "end"),
        ("### Response:", "start"),
        ("Dear {{ name }}, look at step two.", "start"),
        ("Look at [NAME OF TOPIC] again.", "end"),
        ("Good work, <name>!", "start"),
        ("Hello %STUDENT%,", "start"),
        ("Your number is XXX.", "end"),
        ("Your score is ${score}.", "end"),
        ("TODO: add a question", "end"),
    )
    text, where = rests[number % len(rests)]
    record = sources.any(rng)
    put(rng, replies(record)[-1], text, where)
    return among(sources, rng, record, text, subtle=number >= 8)


@kind("reply-echoes")
def reply_echoes(sources: Sources, rng: random.Random, number: int) -> Planted:
    """The reply is the question again."""
    record = sources.course(rng)
    asked = prompts(record)[0]["content"]
    said = (asked, f"{asked} Right?", f"You said: {asked}", asked.lower(), f"So: {asked}")[number % 5]
    replies(record)[0]["content"] = said
    return among(sources, rng, record, said[:80], subtle=number % 5 > 1)


@kind("dialogue-in-turn")
def dialogue_in_turn(sources: Sources, rng: random.Random, number: int) -> Planted:
    """Several speakers in one turn."""
    record = sources.mathdial(rng)
    while len(record["messages"]) < 4:
        record = sources.mathdial(rng)
    one, two = (("Teacher", "Student"), ("Tutor", "Learner"), ("User", "Assistant"), ("T", "S"), ("Ms Bell", "Cody"))[number % 5]
    turns = record["messages"]
    folded = f"{one}: {turns[1]['content']}\n{two}: {turns[2]['content']}\n{one}: {turns[3]['content']}"
    record["messages"] = [turns[0], {"role": "assistant", "content": folded if number < 5 else folded.replace("\n", " ")}]
    return among(sources, rng, record, f"{one} and {two} in one turn", subtle=number >= 5)


@kind("white-space")
def white_space(sources: Sources, rng: random.Random, number: int) -> Planted:
    record = sources.any(rng)
    message = rng.choice(record["messages"])
    before, after = (("  ", ""), ("", "\n"), ("\n\n", ""), ("", "   "), ("\t", " "))[number % 5]
    message["content"] = before + message["content"].strip() + after
    return among(sources, rng, record, repr(before + after), subtle=True)


@kind("template-refuses")
def template_refuses(sources: Sources, rng: random.Random, number: int) -> Planted:
    """A system turn for a base whose template takes none."""
    record = sources.any(rng)
    record["messages"].insert(0, {"role": "system", "content": f"You teach grade {number}."})
    return among(sources, rng, record, "a system turn", options=(("tokenizer", "no-system"),))
