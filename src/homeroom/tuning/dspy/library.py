"""What DSPy needs from us: signatures from specs, an engine over our chat models, and an adapter that renders as we serve.

The adapter asks a prompt program for the messages: an optimised program and what is compiled of it cannot say different things.
Only what tunes imports this module: it imports DSPy (0.7 s and 773 modules, without litellm).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dspy
from dspy import lm15

from homeroom.errors import ProviderError
from homeroom.schema.chat import Completion, GenerationSettings
from homeroom.schema.examples import Message, Role
from homeroom.tuning.dspy.desk import Asked, CallDesk, request_key
from homeroom.tuning.dspy.spec import HISTORY, SYSTEM, ProgramSpec

# Classes and values of DSPy's are untyped: `Any` stands for them throughout.
_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list}


def signature_of(spec: ProgramSpec, instructions: str | None = None) -> Any:
    """The spec as a DSPy signature, with the conversation's system text and history as two more inputs."""
    fields: dict[str, Any] = {
        SYSTEM: (str, dspy.InputField(desc="what the conversation itself says of the situation")),
        HISTORY: (list[dict[str, str]], dspy.InputField(desc="earlier turns")),
    }
    fields |= {field.name: (str, dspy.InputField(desc=field.about or field.name)) for field in spec.inputs}
    fields |= {
        field.name: (_TYPES.get(str(field.kind.get("type")), str), dspy.OutputField(desc=field.about or field.name))
        for field in spec.outputs
    }
    return dspy.Signature(fields, spec.instructions if instructions is None else instructions)


def program_of(spec: ProgramSpec, instructions: str | None = None, demonstrations: Sequence[Any] = ()) -> Any:
    """A DSPy program of the spec: one `dspy.Predict`."""
    program = dspy.Predict(signature_of(spec, instructions))
    program.demos = list(demonstrations)
    return program


class SpecAdapter(dspy.ChatAdapter):  # type: ignore[misc]  # untyped
    """Messages as our prompt programs render them; other signatures, such as those of instruction writers, as DSPy does.

    Args:
        spec: Whose signatures are rendered here.
    """

    def __init__(self, spec: ProgramSpec) -> None:
        super().__init__(use_json_adapter_fallback=False)  # it would double the calls
        self._spec = spec
        self._names = {field.name for field in spec.inputs} | {SYSTEM, HISTORY}

    def format(self, signature: Any, demos: Sequence[Any], inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The messages of a request."""
        if set(signature.input_fields) != self._names:
            return super().format(signature, demos, inputs)  # type: ignore[no-any-return]
        program = replace(self._spec.program(signature.instructions, [dict(demo) for demo in demos]), slots=())
        return [{"role": m.role, "content": m.content} for m in program.render(self._spec.asked(inputs))]

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """The fields of a reply.

        Raises:
            AdapterParseError: a reply of several fields came without one of them.
        """
        if set(signature.input_fields) != self._names:
            return super().parse(signature, completion)  # type: ignore[no-any-return]
        outputs = self._spec.fields
        if outputs is None:
            return {self._spec.reply: completion}
        try:
            record = outputs.read(completion)
        except ProviderError as error:
            from dspy.utils.exceptions import AdapterParseError

            raise AdapterParseError(adapter_name="SpecAdapter", signature=signature, lm_response=completion) from error
        return {field.name: record[field.name] for field in self._spec.outputs}


class DeskEngine:
    """A DSPy engine over one of our chat models.

    Args:
        desk: What every call goes through.
        asked: The model.
        settings: How its replies are drawn; None takes what DSPy asks for, as those who write instructions need.
        fresh: Whether the same request gets another reply each time.
    """

    def __init__(self, desk: CallDesk, asked: Asked, settings: GenerationSettings | None, *, fresh: bool = False) -> None:
        self._desk, self._asked, self._settings, self._fresh = desk, asked, settings, fresh
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: object) -> DeskEngine:
        return self

    def complete(self, request: Any) -> Any:
        """One reply, as DSPy's engines give it."""
        messages = _messages(request)
        settings = self._settings or _wanted(request)
        sample = self._sample(messages, settings) if self._fresh else 0
        if sample and settings.seed is not None:
            settings = replace(settings, seed=settings.seed + sample)
        return _response(request.model, self._desk.ask(self._asked, messages, settings, sample))

    def stream(self, request: Any) -> Iterator[Any]:
        """The same as events; nothing here streams."""
        return iter(lm15.response_to_events(self.complete(request)))

    def close(self) -> None:
        """Nothing: the model is its owner's to close."""

    def _sample(self, messages: Sequence[Message], settings: GenerationSettings) -> int:
        key = request_key(self._asked.identity, messages, settings)
        with self._lock:
            self._times[key] += 1
            return self._times[key] - 1


def language_model(engine: DeskEngine, name: str, temperature: float = 0.0, max_tokens: int = 1000) -> Any:
    """A `dspy.LM` on our engine: no cache and no retries of DSPy's, because the desk and the wire have their own."""
    return dspy.LM(f"homeroom/{name}", engine=engine, cache=False, num_retries=0, temperature=temperature, max_tokens=max_tokens)


def _messages(request: Any) -> list[Message]:
    system = request.system if request.system is None or isinstance(request.system, str) else _text(request.system)
    turns = [Message(_role(m.role), m.text or "") for m in request.messages]
    return [*([Message("system", system)] if system else []), *turns]


def _text(parts: Sequence[Any]) -> str:
    return "".join(part.text for part in parts)


def _role(name: str) -> Role:
    return "assistant" if name == "assistant" else "system" if name in ("system", "developer") else "user"


def _wanted(request: Any) -> GenerationSettings:
    config = request.config
    temperature = 1.0 if config.temperature is None else config.temperature
    wanted = config.response_format or {}  # flat: the schema stands beside its name
    schema = wanted.get("schema") if wanted.get("type") == "json_schema" else None
    return GenerationSettings(temperature=temperature, max_tokens=config.max_tokens or 1000, json_schema=schema)


def _response(model: str, reply: Completion) -> Any:
    used = reply.usage
    return lm15.Response(
        id=None,
        model=model,
        message=lm15.Message.assistant([lm15.TextPart(reply.text)]),
        finish_reason="length" if reply.finish_reason == "length" else "stop",
        usage=lm15.Usage(input_tokens=used.prompt_tokens, output_tokens=used.completion_tokens, total_tokens=used.total_tokens),
    )
