"""A Modelfile for Ollama: the model's file, its chat template in Go's template language, its prompt and its settings.

A chat template is a program in Jinja. What it puts around the turns of each role is found by rendering conversations whose
contents are known, and the Go template is written from these pieces. It is used only if the pieces give, for every conversation
of `TRIALS`, the prompt that the Jinja template gives.
Source: https://github.com/ollama/ollama/blob/main/docs/modelfile.md and template.md beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeroom.errors import ConfigError
from homeroom.models.folder import chat_template, special_tokens
from homeroom.models.template import render
from homeroom.schema.chat import GenerationSettings

MIN_P = 0.05
"""As the embedded engine draws: tokens less than a twentieth as likely as the likeliest never are."""
_S, _U, _A, _U2 = "(the system's text)", "(a question)", "(an answer)", "(another question)"

Turn = tuple[str, str]  # role and content
TRIALS: Sequence[Sequence[Turn]] = (
    (("user", "What is half of 14?"),),
    (("user", "Half of 14 is 8."), ("assistant", "Draw it."), ("user", "Oh, 7.\nThanks!")),
    (("system", "You are a tutor."), ("user", "What is half of 14?")),
    (
        ("system", "You are a tutor."),
        ("user", "Half of 14 is 8."),
        ("assistant", "Draw it."),
        ("user", "7"),
        ("assistant", "How do you know?"),
        ("user", "I counted."),
    ),
)


@dataclass(frozen=True, slots=True)
class Turns:
    """What a chat template writes before and after the content of each role.

    Attributes:
        unprompted: At the beginning of a conversation without a system turn: a default prompt, a start mark, or nothing.
        around: Role to what stands before and after its content. Without ``system`` where the template takes none.
        reply: After the last turn, where the reply begins.
    """

    unprompted: str
    around: Mapping[str, tuple[str, str]]
    reply: str

    def render(self, turns: Sequence[Turn]) -> str:
        """The prompt for a conversation: what the Go template of `go` gives."""
        text = "" if turns[0][0] == "system" else self.unprompted
        for role, content in turns:
            before, after = self.around[role]
            text += before + content + after
        return text + self.reply

    def go(self) -> str:
        """The same as a template of Ollama's."""
        branches = [
            f'{{{{ {"else " if index else ""}if eq .Role "{role}" }}}}{_literal(before)}{{{{ .Content }}}}{_literal(after)}'
            for index, (role, (before, after)) in enumerate(self.around.items())
        ]
        start = f"{{{{ if not .System }}}}{_literal(self.unprompted)}{{{{ end }}}}" if self.unprompted else ""
        return f"{start}{{{{ range .Messages }}}}{''.join(branches)}{{{{ end }}}}{{{{ end }}}}{_literal(self.reply)}"


def turns_of(folder: Path, name: str) -> Turns:
    """The pieces of the chat template in a model folder.

    Raises:
        ConfigError: ``export-template`` when it does more than to put something around each turn; ``no-chat-template``.
    """
    source, tokens = chat_template(folder), special_tokens(folder)

    def told(turns: Sequence[Turn], *, reply: bool) -> str:
        known = {f"{key}_token": tokens.get(key, "") for key in ("bos", "eos")}
        messages = [{"role": role, "content": content} for role, content in turns]
        return render(source, messages, {**known, "add_generation_prompt": reply})

    found = _pieces(told)
    trials = [turns for turns in TRIALS if turns[0][0] != "system" or (found and "system" in found.around)]
    if found is None or any(found.render(turns) != told(turns, reply=True) for turns in trials):
        raise ConfigError(
            f"The chat template of {name!r} does more than to put marks around each turn, so it is not written as a template of "
            "Ollama's here. Export the file alone, which carries the template itself, for llama.cpp: homeroom models export "
            f"{name} --to gguf --out FOLDER",
            code="export-template",
        )
    return found


def _pieces(told: Any) -> Turns | None:  # told: as in `turns_of`
    plain = told([("user", _U), ("assistant", _A), ("user", _U2)], reply=False)
    answered = told([("user", _U), ("assistant", _A)], reply=False)
    asked, open_ = told([("user", _U)], reply=False), told([("user", _U)], reply=True)
    if any(text not in plain for text in (_U, _A, _U2)) or _A not in answered or _U not in asked or not open_.startswith(asked):
        return None
    after_user, after_answer = asked.partition(_U)[2], answered.partition(_A)[2]
    before_answer = _without(_between(plain, _U, _A), after_user)
    before_user = _without(_between(plain, _A, _U2), after_answer)
    first = asked.partition(_U)[0]
    if before_answer is None or before_user is None or not first.endswith(before_user):
        return None
    around = {"user": (before_user, after_user), "assistant": (before_answer, after_answer)}
    try:
        prompted = told([("system", _S), ("user", _U)], reply=False)
    except ConfigError:  # it declines a system turn, and so does what it makes
        prompted = ""
    if _S in prompted and _between(prompted, _S, _U).endswith(before_user):
        between = _between(prompted, _S, _U)
        around = {"system": (prompted.partition(_S)[0], between[: len(between) - len(before_user)]), **around}
    return Turns(first[: len(first) - len(before_user)], around, open_[len(asked) :])


def _between(text: str, left: str, right: str) -> str:
    return text.partition(left)[2].partition(right)[0]


def _without(text: str, start: str) -> str | None:
    return text[len(start) :] if text.startswith(start) else None


def _literal(text: str) -> str:
    return text.replace("{{", '{{ "{{" }}')


def modelfile(
    file: str, folder: Path, name: str, settings: GenerationSettings, *, system: str = "", context_tokens: int = 2048
) -> str:
    """The text of a Modelfile.

    Args:
        file: Name of the GGUF file beside it.
        folder: The model's, with its tokenizer and chat template.
        name: Of the model, for messages.
        settings: How its replies are drawn.
        system: Its prompt; empty for none.
        context_tokens: Prompt plus reply.

    Raises:
        ConfigError: ``export-template``.
    """
    template = turns_of(folder, name).go()
    if '"""' in system or '"""' in template:
        raise ConfigError(
            f'The prompt or the template of {name!r} holds """, which a Modelfile cannot. Export the file alone: homeroom models '
            f"export {name} --to gguf --out FOLDER",
            code="export-template",
        )
    stops = dict.fromkeys(text for text in (special_tokens(folder).get("eos"), *settings.stop) if text)
    parameters: list[tuple[str, Any]] = [
        ("num_ctx", context_tokens),
        ("num_predict", settings.max_tokens),
        ("temperature", settings.temperature),
        ("top_p", settings.top_p),
        ("top_k", 0),
        ("min_p", MIN_P),
        ("repeat_penalty", settings.repeat_penalty),
        *([("seed", settings.seed)] if settings.seed is not None else []),
    ]
    lines = [f"# {name}", f"FROM ./{file}", f'TEMPLATE """{template}"""']
    lines += [f'SYSTEM """{system}"""'] if system else []
    lines += [
        f"PARAMETER {key} {value:g}" if isinstance(value, float) else f"PARAMETER {key} {value}" for key, value in parameters
    ]
    lines += [f"PARAMETER stop {_quoted(text)}" for text in stops]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
