"""An optimised program as JSON: safe to load, refused by another signature, and compiled to what any chat model runs.

``{"format": 1, "kind": "homeroom-dspy-program", "spec": {...}, "fingerprint": str, "members": [state, ...], "about": {...}}``,
where a state is DSPy's own (`dspy.Predict.dump_state`) without a language model. Nothing is pickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homeroom.errors import ConfigError, ConflictError
from homeroom.models.prompt_program import PromptProgram
from homeroom.storage.files import write_atomically
from homeroom.tuning.dspy.packages import require_dspy
from homeroom.tuning.dspy.spec import ProgramSpec

FILE = "dspy.json"
KIND, FORMAT = "homeroom-dspy-program", 1

# States of DSPy's and what is told about a run: any JSON.
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What optimising leaves behind.

    Attributes:
        spec: The program's fields.
        members: The state of each of its programs; one, or several for an ensemble.
        about: Model and its identity, dataset, metric, scores, versions.
    """

    spec: ProgramSpec
    members: tuple[Json, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: ProgramSpec, programs: Sequence[Any], about: Mapping[str, Any]) -> Envelope:
        """Programs of DSPy's, as they are now, without the models that they may be tied to."""
        from homeroom.tuning.dspy.library import twin

        return cls(spec, tuple(twin(program, spec).dump_state() for program in programs), dict(about))

    def compiled(self, base: str, base_identity: str) -> PromptProgram:
        """The prompt program: what is served. DSPy is not needed.

        Args:
            base: The model that it was tuned for.
            base_identity: Of that model.
        """
        made = [
            self.spec.program(str(state["signature"]["instructions"]), state["demos"], base, base_identity)
            for state in self.members
        ]
        return made[0] if len(made) == 1 else PromptProgram("", (), "turns", base, base_identity, members=tuple(made))

    def programs(self) -> list[Any]:
        """The programs as DSPy has them, to go on with.

        Raises:
            MissingExtraError: DSPy is not installed.
        """
        require_dspy()
        from homeroom.tuning.dspy.library import program_of

        made = []
        for state in self.members:
            program = program_of(self.spec)
            program.load_state({**state, "lm": None})
            made.append(program)
        return made

    def to_dict(self) -> Json:
        """Plain data."""
        return {
            "format": FORMAT,
            "kind": KIND,
            "spec": self.spec.to_dict(),
            "fingerprint": self.spec.fingerprint,
            "members": list(self.members),
            "about": dict(self.about),
        }

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        write_atomically(path, (json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n").encode())

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], where: str = "record", spec: ProgramSpec | None = None) -> Envelope:
        """The inverse of `to_dict`.

        Args:
            record: Plain data.
            where: What errors call it.
            spec: The program that it must be of; its own when None.

        Raises:
            ConfigError: ``program-file``: it is no optimised program, or was changed by hand so that it is none.
            ConflictError: ``program-signature``: it is a program of another signature.
        """
        try:
            if record["kind"] != KIND or record["format"] != FORMAT:
                raise ValueError(f"kind {record['kind']!r}, format {record['format']!r}")
            own = ProgramSpec.from_dict(record["spec"])
            members = tuple(_state(own, state) for state in record["members"])
            if record["fingerprint"] != own.fingerprint or not members:
                raise ValueError("its fingerprint is not that of its fields")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"{where!r} is no optimised program of format {FORMAT} ({error}). Tune it again: homeroom tune run --method dspy",
                code="program-file",
            ) from error
        if spec is not None and spec.fingerprint != own.fingerprint:
            raise ConflictError(
                f"{where!r} was optimised for the program {own.name!r} with the fields {_fields(own)}, and {spec.name!r} has "
                f"{_fields(spec)}, or other instructions. Tune this one: homeroom tune run --method dspy --program {spec.name}",
                code="program-signature",
            )
        return cls(own, members, dict(record["about"]))

    @classmethod
    def load(cls, path: Path, spec: ProgramSpec | None = None) -> Envelope:
        """Read a file. Raises as `from_dict`."""
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{str(path)!r} cannot be read as an optimised program. Tune it again: homeroom tune run --method dspy",
                code="program-file",
            ) from error
        return cls.from_dict(record if isinstance(record, dict) else {}, str(path), spec)


def _state(spec: ProgramSpec, state: Mapping[str, Any]) -> Json:
    """A member's state, checked as far as it is read: no language model, demonstrations that are records."""
    if state.get("lm") is not None:
        raise ValueError("a language model is in it")
    if not isinstance(state["signature"]["instructions"], str) or not all(isinstance(demo, dict) for demo in state["demos"]):
        raise ValueError("instructions or demonstrations of another kind")
    known = len(spec.inputs) + len(spec.outputs) + 2
    if len(state["signature"]["fields"]) != known:
        raise ValueError(f"{len(state['signature']['fields'])} fields in place of {known}")
    return dict(state)


def _fields(spec: ProgramSpec) -> str:
    names = ", ".join(field.name for field in spec.inputs)
    return f"{names} -> {', '.join(field.name for field in spec.outputs)}"
