"""Messages to token ids, exactly as the engine makes them, with the marks that say which tokens a model learns from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from homeroom.errors import ConfigError, DataError
from homeroom.models.folder import chat_template, special_ids, special_tokens
from homeroom.models.template import render
from homeroom.schema.examples import Message, beyond_text


class ChatTokenizer:
    """The tokenizer and chat template of a base model. Needs ``tokenizers`` only; thread-safe.

    Args:
        weights: The folder with ``tokenizer.json`` and ``tokenizer_config.json`` (`BaseFiles.weights`).
    """

    def __init__(self, weights: Path) -> None:
        from tokenizers import Tokenizer

        path = weights / "tokenizer.json"
        if not path.exists():
            raise ConfigError(
                f"No tokenizer.json in {str(weights)!r}. Fetch the model: homeroom models pull NAME", code="model-files"
            )
        self._tokenizer = Tokenizer.from_file(str(path))
        # A published file may carry how it was trained: a conversation is neither filled up nor cut.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._template = chat_template(weights)
        self._texts = {f"{key}_token": text for key, text in special_tokens(weights).items()}
        ids = special_ids(weights)
        self._special = {i for i, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        self.eos_id = ids.get("eos", -1)
        self.pad_id = ids.get("pad", max(self.eos_id, 0))

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
        """The text of a conversation; with ``add_generation_prompt`` it ends where the assistant's reply begins."""
        turns = [{"role": m.role, "content": m.content} for m in messages]
        return render(self._template, turns, {**self._texts, "add_generation_prompt": add_generation_prompt})

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; special tokens written in it become themselves, none is added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """The text of token ids."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special))

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """What the engine sees before it answers ``messages``."""
        return self.encode(self.render(messages, add_generation_prompt=True))

    def encode_chat(self, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
        """Ids of a whole conversation and its loss mask, (T,) each.

        The mask is 1 at the content of assistant turns and the token that ends the turn, 0 elsewhere and at turns with ``weight``
        0.

        Raises:
            DataError: ``prefix-unstable`` when the prompt of some assistant turn is not how the whole conversation begins:
                training would then see other tokens than serving does; ``beyond-text`` when a turn holds more than its text.
        """
        for index, message in enumerate(messages):
            if what := beyond_text(message.to_dict()):
                raise DataError(
                    f"Message {index} holds {what}, and tuning here writes texts only: without it the model would learn another "
                    "reply than the one meant. Take the example out: homeroom data check FILE --select beyond-text",
                    code="beyond-text",
                )
        ids = self.encode(self.render(messages))
        mask = [0] * len(ids)
        for index, message in enumerate(messages):
            if message.role != "assistant" or message.weight == 0:
                continue
            prompt = self.prompt_ids(messages[:index])
            upto = self.encode(self.render(messages[: index + 1]))
            if ids[: len(prompt)] != prompt or ids[: len(upto)] != upto or len(upto) <= len(prompt):
                raise DataError(
                    f"Assistant turn {index} ({message.content[:40]!r}) is written differently inside the conversation than after"
                    " its prompt, so training would see other tokens than the chat. Remove white space at the start of the turn:"
                    " homeroom data check FILE; or keep one assistant turn per example",
                    code="prefix-unstable",
                )
            for position in range(len(prompt), self._turn_end(upto, len(prompt))):
                mask[position] = 1
        return ids, mask

    def _turn_end(self, ids: Sequence[int], start: int) -> int:
        """One past the last special token at or after ``start`` (the end of the turn), or the end when there is none."""
        return next((i + 1 for i in range(len(ids) - 1, start - 1, -1) if ids[i] in self._special), len(ids))
