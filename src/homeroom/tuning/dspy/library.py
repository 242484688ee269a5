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
from dspy.utils.exceptions import AdapterParseError

from homeroom.errors import ProviderError
from homeroom.schema.chat import Completion, GenerationSettings
from homeroom.schema.examples import Message, Role
from homeroom.tuning.dspy.desk import Asked, CallDesk, request_key
from homeroom.tuning.dspy.provider import PREFIX
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
    told = spec.instructions if instructions is None else instructions
    return dspy.Signature(fields, told or " ")  # an empty text would become DSPy's own; this one is stripped


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

    def is_ours(self, signature: Any) -> bool:
        """Whether it is the spec's, and not one of those that write instructions."""
        return set(signature.input_fields) == self._names

    def __call__(
        self, lm: Any, lm_kwargs: dict[str, Any], signature: Any, demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """The fields of each reply. One of those who write instructions that cannot be read is asked for once more.

        Raises:
            AdapterParseError: it cannot be read.
        """
        try:
            return super().__call__(lm, lm_kwargs, signature, demos, inputs)  # type: ignore[no-any-return]
        except AdapterParseError:
            if self.is_ours(signature):  # it counts as no reply
                raise
            return super().__call__(lm, lm_kwargs, signature, demos, inputs)  # type: ignore[no-any-return]

    def format(self, signature: Any, demos: Sequence[Any], inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The messages of a request."""
        if not self.is_ours(signature):
            return super().format(signature, demos, inputs)  # type: ignore[no-any-return]
        program = replace(self._spec.program(signature.instructions, [dict(demo) for demo in demos]), slots=())
        return [{"role": m.role, "content": m.content} for m in program.render(self._spec.asked(inputs))]

    def format_assistant_message_content(
        self, signature: Any, outputs: Mapping[str, Any], missing_field_message: str | None = None
    ) -> str:
        """The text of a reply: what weights learn is what is served."""
        if not self.is_ours(signature):
            return super().format_assistant_message_content(signature, outputs, missing_field_message)  # type: ignore[no-any-return]
        return self._spec.replied(outputs)

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """The fields of a reply.

        Raises:
            AdapterParseError: a reply of several fields came without one of them.
        """
        if not self.is_ours(signature):
            return super().parse(signature, completion)  # type: ignore[no-any-return]
        outputs = self._spec.fields
        if outputs is None:
            return {self._spec.reply: completion}
        try:
            record = outputs.read(completion)
        except ProviderError as error:
            raise AdapterParseError(adapter_name="SpecAdapter", signature=signature, lm_response=completion) from error
        return {field.name: record[field.name] for field in self._spec.outputs}


class DeskEngine:
    """A DSPy engine over one of our chat models.

    Args:
        desk: What every call goes through.
        asked: The model.
        settings: How its replies are drawn; None takes what DSPy asks for, as those who write instructions need.
        fresh: Whether the same request gets another reply each time.
        tuned: Models that were trained in this run, by the name that DSPy asks for.
        forgiving: A request that fails is answered with nothing. Where DSPy gathers what to train on, one failure would end it
            all, and a reply that has not every field counts as a good one.
    """

    def __init__(
        self,
        desk: CallDesk,
        asked: Asked,
        settings: GenerationSettings | None,
        *,
        fresh: bool = False,
        tuned: Mapping[str, Asked] | None = None,
        forgiving: bool = False,
    ) -> None:
        self._desk, self._asked, self._settings, self._fresh = desk, asked, settings, fresh
        self._tuned, self._forgiving = {} if tuned is None else tuned, forgiving
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: object) -> DeskEngine:
        return self

    def complete(self, request: Any) -> Any:
        """One reply, as DSPy's engines give it."""
        messages = messages_of(request)
        settings = self._settings or settings_of(request)
        asked = self._tuned.get(request.model.partition("/")[2], self._asked)
        sample = self._sample(asked, messages, settings) if self._fresh else 0
        if sample and settings.seed is not None:
            settings = replace(settings, seed=settings.seed + sample)
        try:
            reply = self._desk.ask(asked, messages, settings, sample)
        except ProviderError:
            if not self._forgiving:
                raise
            self._desk.check()  # which remembers what ends a run
            reply = Completion("", request.model)
        # DSPy raises where a reply is empty, and takes what it then has for one of a score that is not 0.
        return response_of(request.model, replace(reply, text=reply.text or " ") if self._forgiving else reply)

    def stream(self, request: Any) -> Iterator[Any]:
        """The same as events; nothing here streams."""
        return iter(lm15.response_to_events(self.complete(request)))

    def close(self) -> None:
        """Nothing: the model is its owner's to close."""

    def _sample(self, asked: Asked, messages: Sequence[Message], settings: GenerationSettings) -> int:
        key = request_key(asked.identity, messages, settings)
        with self._lock:
            self._times[key] += 1
            return self._times[key] - 1


def language_model(
    engine: Any, name: str, temperature: float = 0.0, max_tokens: int = 1000, provider: Any = None, **options: Any
) -> Any:
    """A `dspy.LM` on our engine: no cache and no retries of DSPy's, because the desk and the wire have their own.

    Args:
        engine: What answers.
        name: The model's.
        temperature: Of its replies.
        max_tokens: Of a reply.
        provider: What trains it; every training begins with this very model, not with one that was trained before.
        options: Others of `dspy.LM`'s.
    """
    model = PREFIX + name
    trained = {"provider": provider, "finetuning_model": model} if provider is not None else {}
    return dspy.LM(
        model, engine=engine, cache=False, num_retries=0, temperature=temperature, max_tokens=max_tokens, **trained, **options
    )


def twin(program: Any, spec: ProgramSpec, demonstrations: Sequence[Any] | None = None, *, lm: Any = None) -> Any:
    """A program of the same instructions, asked of ``lm``. DSPy's own copies take a model's whole history with them."""
    made = program_of(spec, program.signature.instructions, program.demos if demonstrations is None else demonstrations)
    made.lm = lm
    return made


def model_of(program: Any) -> str:
    """The model that a program is tied to; empty where it asks whom it is told to."""
    return str(program.lm.model).removeprefix(PREFIX) if program.lm is not None else ""


def messages_of(request: Any) -> list[Message]:
    """The conversation of a request of DSPy's."""
    system = request.system if request.system is None or isinstance(request.system, str) else _text(request.system)
    turns = [Message(_role(m.role), m.text or "") for m in request.messages]
    return [*([Message("system", system)] if system else []), *turns]


def _text(parts: Sequence[Any]) -> str:
    return "".join(part.text for part in parts)


def _role(name: str) -> Role:
    return "assistant" if name == "assistant" else "system" if name in ("system", "developer") else "user"


def settings_of(request: Any) -> GenerationSettings:
    """How a request of DSPy's wants its reply drawn."""
    config = request.config
    temperature = 1.0 if config.temperature is None else config.temperature
    wanted = config.response_format or {}  # flat: the schema stands beside its name
    schema = wanted.get("schema") if wanted.get("type") == "json_schema" else None
    return GenerationSettings(
        temperature=temperature,
        top_p=1.0 if config.top_p is None else config.top_p,
        max_tokens=config.max_tokens or 1000,
        stop=tuple(config.stop or ()),
        seed=config.seed,
        json_schema=schema,
    )


def response_of(model: str, reply: Completion) -> Any:
    """A reply as DSPy's engines give it."""
    used = reply.usage
    return lm15.Response(
        id=None,
        model=model,
        message=lm15.Message.assistant([lm15.TextPart(reply.text)]),
        finish_reason="length" if reply.finish_reason == "length" else "stop",
        usage=lm15.Usage(input_tokens=used.prompt_tokens, output_tokens=used.completion_tokens, total_tokens=used.total_tokens),
    )
