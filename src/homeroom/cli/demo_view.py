"""How the demo looks in a terminal."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING

import click

from homeroom.cli import progress
from homeroom.cli.common import duration, size, visible
from homeroom.cli.spending import agree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homeroom.app.home import Homeroom
    from homeroom.app.spending import Quote
    from homeroom.evaluation.results import Evaluation
    from homeroom.evaluation.transcripts import Transcript
    from homeroom.schema.evaluation import Difference
    from homeroom.schema.jobs import Job, JobEvent

WIDTH = 100
SHOWN_TRANSCRIPTS = 3
JUDGE_SHARE = 4.0  # for the estimate: judging both parts took 3.5 and 4.1 times as long as tuning, in two runs on two cores
OUTCOMES = {"promote": "green", "practice": "yellow", "reject": "red"}


class Screen:
    """Implements `homeroom.app.demo.Show`."""

    def __init__(self, home: Homeroom, *, quiet: bool = False, yes: bool = False) -> None:
        self._home, self._quiet, self._yes = home, quiet, yes
        self._number = 0
        self._bar = progress.Line(quiet)
        self._runs, self._estimated, self._started = 1, False, 0.0

    def title(self) -> None:
        """What is about to happen."""
        self._say(click.style("Homeroom", bold=True) + ": examples go in; a chat that is tuned, compared and judged comes out.")

    def begin(self, runs: int) -> None:
        """How many trainings there will be."""
        self._runs = runs

    def step(self, title: str, command: str) -> None:
        """A numbered heading, and the command that does this step alone."""
        self._number += 1
        self._say("")
        self._say(click.style(f"{self._number}. {title}", bold=True) + click.style(f"   {command}", dim=True))

    def line(self, text: str) -> None:
        """One indented line."""
        for part in text.splitlines():
            self._say(f"   {part}")

    def agree(self, quotes: Sequence[Quote]) -> None:
        """Ask before money is spent."""
        agree(quotes, yes=self._yes, as_json=self._quiet)

    def download(self, done: int, total: int, message: str) -> None:
        """A bar for bytes, or what is being done where there are none to count."""
        if total:
            self._bar.show(f"   {progress.bar(done / total)}  {size(done)} of {size(total)}  {message}", final=done >= total)
        else:
            self._bar.show(f"   {message} ...", final=True)

    def wait(self, job: Job) -> Job:
        """Follow a job with a bar."""
        if job.done:
            self.line(f"Done before (job {job.id}); --again repeats it.")
            return job
        self._started = time.monotonic()
        return progress.wait(self._home, job, quiet=self._quiet, indent="   ", tell=self._tell)

    def _tell(self, event: JobEvent) -> str:
        """Warnings; the protocol before the first answer; and, once its speed is known, how long the whole will take."""
        if "protocol" in event.data:
            head, *rules = event.message.splitlines()
            gains = [line.strip() for line in rules if line.strip().startswith("gain")]
            return "\n".join(
                [f"Fixed before the first answer: {head}", *gains, f"and {len(rules) - len(gains)} guards, all in the report"]
            )
        left = event.data.get("seconds_left")
        if isinstance(left, int | float) and event.type == "message" and not self._estimated:
            self._estimated = True
            run_s = time.monotonic() - self._started + left
            whole_s = left + run_s * (self._runs - 1 + JUDGE_SHARE * self._runs)
            return f"{event.message} The whole demo: about {duration(whole_s)} more."
        return progress.worth_seeing(event)

    def evaluation(self, result: Evaluation) -> None:
        """Transcripts, the table of what changed, and the verdict."""
        for transcript in result.transcripts[:SHOWN_TRANSCRIPTS]:
            self._transcript(transcript)
        self._table(result)
        self._verdict(result)

    def closing(self, took: str) -> None:
        """The three commands for the visitor's own file."""
        self._say("")
        self._say(click.style(f"That took {took}. Now with a file of your own:", bold=True))
        self.line("homeroom init my-project --from my-examples.csv     # CSV, XLSX or JSONL")
        self.line("homeroom data check my-project/data/examples.jsonl")
        self.line("homeroom demo --data my-project/data/examples.jsonl")

    def ready(self, address: str) -> None:
        """The chat is up."""
        self._say("")
        self._say(click.style(f"The chat is at {address}", bold=True) + "   Practice opens first. Ctrl-C ends everything.")

    def _say(self, text: str) -> None:
        if not self._quiet:
            click.echo(text)

    def _transcript(self, transcript: Transcript) -> None:
        self._say("")
        self._say(click.style(f"   {transcript.subject or 'example'}, {transcript.topic}", italic=True) + f"  ({transcript.why})")
        text = next((t for r, t in reversed(transcript.prompt) if r == "user"), "")
        self._wrapped("asked", text)
        for name in ("base", "few-shot", "tuned"):
            if name in transcript.replies:
                self._wrapped(name, transcript.replies[name] or "(nothing)")

    def _wrapped(self, label: str, text: str) -> None:
        lines = textwrap.wrap(" ".join(visible(text).split()), WIDTH - 16) or [""]
        if len(lines) > 4:
            lines = [*lines[:3], lines[3] + " ..."]
        self._say(f"   {click.style(label.rjust(9), fg='cyan')}  {lines[0]}")
        for line in lines[1:]:
            self._say(" " * 14 + line)

    def _table(self, result: Evaluation) -> None:
        cards = {card.system: card for card in result.scorecards}
        shown = [m for m in result.measures if m.direction != "neither"]
        against = {d.name: d for d in result.differences if d.control == "base"}
        self._say("")
        self._say(f"   {'':44}{'base':>8}{'few-shot':>10}{'tuned':>8}{'people':>8}   tuned minus base (95 % interval)")
        for measure in shown:
            means = [
                _mean(cards[s].summaries[measure.name].mean) if s in cards else ""
                for s in ("base", "few-shot", "tuned", "authored")
            ]
            row = f"   {measure.title[:43]:44}{means[0]:>8}{means[1]:>10}{means[2]:>8}{means[3]:>8}   "
            self._say(row + _difference(against.get(measure.name), measure.direction))
        losses = {s.name: s.held_out_loss for s in result.systems if s.held_out_loss is not None}
        if losses:
            told = ", ".join(f"{name} {value:.2f}" for name, value in losses.items())
            self._say(click.style(f"   Held-out loss: {told}. It is shown, and does not count.", dim=True))

    def _verdict(self, result: Evaluation) -> None:
        verdict = result.verdict
        if verdict is None:
            return
        self._say("")
        mark = click.style(f" {verdict.outcome.upper()} ", bg=OUTCOMES[verdict.outcome], fg="black", bold=True)
        self._say(f"   {mark} {verdict.headline}")
        for reason in verdict.reasons[:6]:
            for number, line in enumerate(textwrap.wrap(reason, WIDTH - 8)):
                self._say(f"     {'- ' if number == 0 else '  '}{line}")
        if len(verdict.reasons) > 6:
            self._say(f"       and {len(verdict.reasons) - 6} more in the report")


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _difference(found: Difference | None, direction: str) -> str:
    if found is None or found.mean is None or found.low is None or found.high is None:
        return ""
    sign = -1 if direction == "lower" else 1
    clear = "better" if sign * (found.low if sign > 0 else found.high) > 0 else ""
    if not clear and sign * (found.high if sign > 0 else found.low) < 0:
        clear = "WORSE"
    colour = {"better": "green", "WORSE": "red"}.get(clear)
    return click.style(f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f}) {clear}", fg=colour)
