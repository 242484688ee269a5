"""Every script of ``examples/``, as somebody would start it, on the tiny model: what it says, what it registers, and that it can be repeated."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from homeroom.app.home import Homeroom
from homeroom.evaluation.comparison_report import read_comparison
from homeroom.models import tiny
from homeroom.models.prompt_program import PromptProgram
from homeroom.schema.models import TunedModel
from tests.app import material

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material.tiny_cache(tmp_path_factory)


@pytest.fixture
def play(_hermetic: None, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Runs a script on the tiny model in an empty folder; returns what it printed."""
    material.use_tiny(monkeypatch, cache)
    monkeypatch.chdir(tmp_path)

    def script(name: str, *arguments: str, typed: str = "", status: int = 0) -> str:
        command = [sys.executable, str(EXAMPLES / name), "--base", tiny.NAME, *arguments]
        done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    return script


def models() -> list[TunedModel]:
    with Homeroom.open() as home:
        return list(home.registry.list())


def twice(play: Callable[..., str], name: str, *arguments: str) -> str:
    """Plays a script and plays it again: it says the same, and nothing is tuned, stored or registered a second time."""
    said, registered = play(name, *arguments), {model.name for model in models()}
    with Homeroom.open() as home:
        stored = [(info.name, info.version) for info in home.datasets.list()]
        jobs = [job.id for job in home.jobs.list()]
    assert play(name, *arguments) == said
    assert {model.name for model in models()} == registered
    with Homeroom.open() as home:
        assert [(info.name, info.version) for info in home.datasets.list()] == stored
        assert [job.id for job in home.jobs.list()] == jobs
    return said


def test_the_fractions_tutor_is_tuned_on_its_grades_and_asked_beside_its_base(play: Callable[..., str]) -> None:
    said = twice(play, "fractions_tutor.py", "--tokens", "1500")
    (model,) = models()
    assert (model.method, model.task, model.base) == ("huggingface", "tutor", tiny.NAME)
    with Homeroom.open() as home:
        examples = home.datasets.get(model.dataset).examples
        unseen = {e.metadata["topic"] for e in home.datasets.get(model.dataset).part("test")}
    assert {(e.metadata["subject"], e.metadata["grade_band"]) for e in examples} == {("mathematics", "3-5")}
    assert f"{len(examples)} examples of mathematics" in said
    assert unseen == set(re.search(r"Never trained on: (.*)\.", said)[1].split(", "))
    assert model.metrics["tokens"] <= 1500
    asked = said[said.index("Child: I added 1/2 + 1/3") :]
    assert asked.index(f"\n{tiny.NAME}:\n") < asked.index(f"\n{model.name}:\n")


def test_teacher_training_gives_feedback_of_a_model_and_notes_that_quote_the_teacher(play: Callable[..., str]) -> None:
    said = twice(play, "teacher_training.py", "--tokens", "1500", "--feedback-tokens", "60")
    (model,) = models()
    assert (model.method, model.task) == ("huggingface", "learner")
    with Homeroom.open() as home:
        dataset = home.datasets.get(model.dataset)
    spoken, *judged = said.split("\n=== ")
    told, asked = spoken.split("--- a teacher who asks")
    name = re.search(r"^(\w+) answered: ", told, re.MULTILINE)[1]
    held_out = {re.match(r"You are (\w+),", e.messages[0].content)[1] for e in dataset.part("test")}
    assert name in held_out
    assert [part.partition("\n")[0] for part in judged] == ["a teacher who tells", "a teacher who asks"]
    noted = []
    for talk, part, turns in ((told, judged[0], 2), (asked, judged[1], 3)):
        words, notes = part.split("Notes on the teacher's turns, made by rules:")
        assert f"Feedback in the words of a model ({tiny.NAME}; it may be wrong):\n  " in words
        assert "\n  next step: " in words or "\n  none that can be read: " in words, "each field, or why there is none"
        teacher = re.findall(r"^Teacher: (.*)$", talk, re.MULTILINE)
        quoted = re.findall(r'turn \d+: "(.*)"$', notes, re.MULTILINE)
        assert len(teacher) == turns and len(re.findall(rf"^{name}: ", talk, re.MULTILINE)) == turns
        assert quoted and all(any(quote.strip(". …") in turn for turn in teacher) for quote in quoted)
        noted.append(set(re.findall(r"^  [-+] (.*)$", notes, re.MULTILINE)))
    assert "That's wrong. The answer is" in told
    assert noted[0] != noted[1]

    typed = play(
        "teacher_training.py", "--tokens", "1500", "--type", "--learner", "2", "--feedback-tokens", "60",
        typed="Why do you think so?\n\n",
    )  # fmt: skip
    assert "=== you" in typed and "made by rules" in typed and "Teacher:" not in typed


def test_the_coach_of_the_teacher_training_may_be_tuned_first(play: Callable[..., str]) -> None:
    pytest.importorskip("dspy")
    said = play("teacher_training.py", "--tokens", "1500", "--feedback-tokens", "40", "--tune-coach", "12")
    (coach,) = [model for model in models() if model.method == "dspy"]
    assert (coach.recipe["program"], coach.metrics["metric"]) == ("feedback_teacher", "field-checks")
    assert f"Tuned {coach.name}: {coach.metrics['kept']}, " in said
    assert said.count(f"Feedback in the words of a model ({coach.name}; it may be wrong):") == 2


def test_each_subject_has_its_specialist_and_its_questions(play: Callable[..., str]) -> None:
    said = twice(play, "subject_specialists.py", "--tokens", "1200")
    with Homeroom.open() as home:
        by_subject = {subject: home.registry.route("tutor", subject=subject) for subject in ("science", "history")}
        for subject, name in by_subject.items():
            assert name is not None
            assert {e.metadata["subject"] for e in home.datasets.get(home.registry.get(name).dataset).examples} == {subject}
            assert f"A question about {subject} goes to {name}." in said
        assert home.registry.route("tutor") is None, "who asks about nothing in particular gets none of them"
    assert len(set(by_subject.values())) == len(models()) == 2


def test_the_prompt_search_keeps_a_prompt_that_can_be_read(play: Callable[..., str]) -> None:
    pytest.importorskip("dspy")
    said = twice(play, "prompt_search.py", "--calls", "30")
    (model,) = models()
    assert (model.method, model.task, model.base) == ("dspy", "tutor", tiny.NAME)
    with Homeroom.open() as home:
        program = PromptProgram.load(home.artifacts.path(model.artifact))
    assert "At most 30 calls of tiny, about $0.00." in said
    tried = re.findall(r"^  (\S.*?) +(\d\.\d\d) of the checks passed$", said, re.MULTILINE)
    assert len(tried) >= 2 and [float(score) for _, score in tried] == sorted((float(score) for _, score in tried), reverse=True)
    assert len(re.findall(r"^  \[(?:system|user|assistant)\] ", said, re.MULTILINE)) >= 1 + 2 * len(program.demonstrations)
    assert "  [user] Which is larger, 0.5 or 0.45?" in said


def test_openais_api_tunes_on_this_server_for_nothing(play: Callable[..., str]) -> None:
    said = twice(play, "openai_endpoint.py", "--examples", "10")
    model = next(model for model in models() if model.name in said)
    assert (model.method, model.task, model.base) == ("openai", "tutor", tiny.NAME)
    assert re.search(r"^\d+ examples of reading to tiny: about \$0\.00\.$", said, re.MULTILINE)
    assert re.search(r"^Tutor:", said, re.MULTILINE)


def test_head_to_head_prints_what_the_comparison_found(play: Callable[..., str]) -> None:
    pytest.importorskip("dspy")
    few = ("--tokens", "1200", "--calls", "20", "--examples", "10", "--items", "4", "--reply-tokens", "12")
    said = twice(play, "head_to_head.py", *few)
    assert {(model.method, model.task) for model in models()} == {(m, "tutor") for m in ("dspy", "huggingface", "openai")}
    with Homeroom.open() as home:
        (job,) = home.jobs.list(kind="compare")
        found = read_comparison(home.artifacts.path(job.result["report"]) / "comparison.json")
        assert home.ledger.totals() == ()
    assert {facts.label for facts in found.facts if facts.method} == {"dspy", "huggingface", "openai (this server)"}
    assert "4 replies of each" in said and said.startswith("By the rules: ")
    for standing in found.standings:
        row = re.search(rf"^{re.escape(standing.title)} +(\d+)% \(", said, re.MULTILINE)
        assert row is not None and row[1] == f"{standing.share:.0%}".rstrip("%"), standing.title
    means = [card.summaries["asks_next_step"].mean for s in found.standings
             for card in found.evaluation.scorecards if card.system == s.name]  # fmt: skip
    row = re.search(r"^Asks for a next step +(.+)$", said, re.MULTILINE)
    assert row is not None and row[1].split() == [f"{mean:.2f}" for mean in means]
    assert f"\n{found.advice.headline}\n" in said


def test_every_script_has_a_test_and_says_how_to_start_it() -> None:
    source = Path(__file__).read_text("utf-8")
    for script in EXAMPLES.glob("*.py"):
        assert f'"{script.name}"' in source, script.name
        assert f"python examples/{script.name}" in script.read_text("utf-8")
