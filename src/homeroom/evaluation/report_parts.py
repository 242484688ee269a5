"""The sections of the report. Each takes an `Evaluation` and returns HTML in which every foreign text is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape

from homeroom.evaluation.results import Evaluation, MeasureInfo, SystemInfo
from homeroom.evaluation.scorecard import NOT_AVAILABLE
from homeroom.evaluation.transcripts import Transcript
from homeroom.schema.evaluation import MetricSummary, Scorecard

OUTCOMES = {"promote": "Promote", "practice": "For practice only", "reject": "Not fit for use"}
TILES = {
    "tutor": ("withholding", "asks_next_step", "false_confirmation", "specificity", "variety"),
    "learner": ("staying_in_role", "uses_own_numbers", "keeps_misconception", "specificity", "variety"),
}
FAULTS: tuple[tuple[str, str, float, str], ...] = (
    ("withholding", "below", 0.5, "gives the answer away"),
    ("asks_next_step", "below", 0.5, "asks for nothing"),
    ("false_confirmation", "from", 0.5, "confirms wrong work"),
    ("missed_confirmation", "from", 0.5, "does not confirm right work"),
    ("keeps_misconception", "below", 0.5, "solves it too early"),
    ("staying_in_role", "below", 0.5, "out of role"),
    ("specificity", "below", 0.75, "fits other questions as well"),
    ("variety", "below", 0.5, "near duplicate of another reply"),
    ("own_words", "below", 0.5, "mostly copied"),
    ("brief_enough", "below", 0.5, "too long"),
    ("repetition", "from", 0.3, "loops"),
    ("solution_dump", "from", 0.5, "works the whole problem"),
    ("praise_without_substance", "from", 0.5, "empty praise"),
)


def in_order(evaluation: Evaluation) -> list[tuple[SystemInfo, Scorecard]]:
    """Systems with their scorecards as a reader wants them: the one that is judged first, the authored replies last."""
    roles = ("candidate", "base", "few-shot", "other", "authored")
    return sorted(zip(evaluation.systems, evaluation.scorecards, strict=True), key=lambda pair: roles.index(pair[0].role))


def heading(evaluation: Evaluation) -> tuple[str, str]:
    """Title of the page (escaped) and its header."""
    part = "tutor" if evaluation.task == "tutor" else "simulated learner"
    name = next((system.title for system in evaluation.systems if system.role == "candidate"), "no candidate")
    items = len(evaluation.replies)
    topics = len({str(record["metadata"].get("topic")) for record in evaluation.replies})
    title = escape(f"Evaluation: {name} as {part}")
    when = datetime.fromtimestamp(evaluation.created_at, UTC).strftime(", %-d %B %Y") if evaluation.created_at else ""
    return title, f"<header><h1>{title}</h1><p>{items} held-out replies over {topics} unseen topics{when}</p></header>"


def verdict_box(evaluation: Evaluation) -> str:
    """The verdict with its reasons, and the figures that a reader asks for first."""
    verdict = evaluation.verdict
    if verdict is None:
        return (
            '<section class="verdict"><p class="label">Verdict</p><h2>Not judged</h2>'
            "<p>There was no single candidate to judge, or measures of the protocol were left out.</p></section>"
            + _tiles(evaluation)
        )
    gains = {reason for reason in verdict.reasons if reason.startswith("Better than")}
    reasons = "".join(f'<li class="{"gain" if r in gains else "miss"}">{escape(_sentence(r))}</li>' for r in verdict.reasons)
    return (
        f'<section class="verdict {verdict.outcome}"><p class="label">Verdict</p><h2>{OUTCOMES[verdict.outcome]}</h2><p>'
        f"{escape(verdict.headline)}</p>"
        f"<ul>{reasons}</ul></section>{_tiles(evaluation)}"
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _tiles(evaluation: Evaluation) -> str:
    card = evaluation.scorecard("candidate")
    if card is None:
        return ""
    info = {measure.name: measure for measure in evaluation.measures}
    tiles = []
    for name in TILES[evaluation.task]:
        if name not in card.summaries:
            continue
        others = "".join(
            f"<dt>{escape(system.title)}</dt><dd>{_mean(other.summaries[name], info[name])}</dd>"
            for system, other in in_order(evaluation)
            if system.role != "candidate"
        )
        note = " (less is better)" if info[name].direction == "lower" else ""
        tiles.append(
            f'<div class="tile"><p class="name">{escape(info[name].title)}{note}</p><p class="big">'
            f"{_mean(card.summaries[name], info[name])}</p><dl>{others}</dl></div>"
        )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _mean(summary: MetricSummary, measure: MeasureInfo) -> str:
    return "&ndash;" if summary.mean is None else _number(summary.mean, measure)


def _number(value: float, measure: MeasureInfo) -> str:
    return f"{value:.2f}" if measure.top == 1 else f"{value:.1f}"


def figures(evaluation: Evaluation) -> str:
    """Systems times measures, with intervals."""
    heads = "".join(f'<th scope="col">{escape(s.title)}{_role(s)}</th>' for s, _ in in_order(evaluation))
    rows = "".join(_figure_row(measure, evaluation) for measure in evaluation.measures)
    extra = "".join(
        f'<tr><th scope="row">{label}</th>{"".join(f"<td>{_extra(card, key)}</td>" for _, card in in_order(evaluation))}</tr>'
        for key, label in (
            ("distinct_replies", "Distinct replies"),
            ("truncated", "Cut off at the length limit"),
            ("failed", "Failed requests"),
            ("held_out_loss", "Held-out loss<small>no measure of quality</small>"),
        )
    )
    return (
        '<section><h2>All figures</h2><p class="lead">Means with intervals; n is smaller where a measure does not apply to '
        "every reply. "
        "The authored replies were written by people and show what the measures give to good work: no measure is perfect.</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="All figures"><table class="figures"><thead><tr><th '
        f'scope="col">Measure</th>{heads}</tr></thead>'
        f"<tbody>{rows}{extra}</tbody></table></div>"
        '<p class="note">Held-out loss says how well a model predicts the authored words. A model can predict them well and '
        "teach badly, so it decides "
        "nothing here; neither do length and overlap.</p></section>"
    )


def _role(system: SystemInfo) -> str:
    return {"candidate": "<small>judged here</small>", "authored": "<small>by people</small>"}.get(
        system.role, "<small>control</small>"
    )


def _figure_row(measure: MeasureInfo, evaluation: Evaluation) -> str:
    cells = []
    for system, card in in_order(evaluation):
        found = card.summaries[measure.name]
        span = (
            "" if found.low is None or found.high is None else f"{_number(found.low, measure)} to {_number(found.high, measure)}"
        )
        count = f"n={found.n}" if found.n != len(card.item_ids) else ""
        small = " &middot; ".join(text for text in (span, count) if text)
        strong = ' class="lead-col"' if system.role == "candidate" else ""
        cells.append(f"<td{strong}>{_mean(found, measure)}<small>{small}</small></td>")
    arrow = {"higher": "more is better", "lower": "less is better", "neither": "a fact, neither"}[measure.direction]
    return f'<tr><th scope="row">{escape(measure.title)}<small>{arrow}</small></th>{"".join(cells)}</tr>'


def _extra(card: Scorecard, key: str) -> str:
    value = card.extra.get("variety", {}).get(key) if key == "distinct_replies" else card.extra.get(key)
    if value is None or value == NOT_AVAILABLE:
        return "not available" if key == "held_out_loss" else "&ndash;"
    return f"{value:.3f}" if isinstance(value, float) else escape(str(value))


def transcripts(evaluation: Evaluation) -> str:
    """Dialogues side by side."""
    if not evaluation.transcripts:
        return ""
    talks = "".join(_talk(transcript, evaluation) for transcript in evaluation.transcripts)
    return (
        f'<section><h2>Side by side</h2><p class="lead">{evaluation.protocol.transcripts} dialogues were picked by a hash '
        f"before any reply was known; the "
        f"largest win and the largest loss over the base are added. Every other reply is in the JSON beside this page.</p>"
        f"{talks}</section>"
    )


def _talk(transcript: Transcript, evaluation: Evaluation) -> str:
    learner = evaluation.task == "learner"
    names = {
        "user": "Teacher" if learner else "Learner",
        "assistant": "Learner" if learner else "Tutor",
        "system": "Persona and instructions",
    }
    turns = []
    for role, text in transcript.prompt:
        name, body = escape(names.get(role, role)), escape(text)
        if role == "system":
            turns.append(f'<details open><summary>{name}</summary><div class="turn">{body}</div></details>')
        else:
            turns.append(f'<div class="turn {escape(role, quote=True)}"><b>{name}</b>{body}</div>')
    replies = "".join(_reply(system, transcript) for system, _ in in_order(evaluation))
    about = " &middot; ".join(escape(text) for text in (transcript.subject, transcript.topic) if text)
    return (
        f'<article class="talk card"><span class="why">{escape(transcript.why)}</span><span class="why">{about}</span>'
        f"{''.join(turns)}"
        f'<div class="replies">{replies}</div></article>'
    )


def _reply(system: SystemInfo, transcript: Transcript) -> str:
    text = transcript.replies.get(system.name, "").strip()
    body = f"<p>{escape(text)}</p>" if text else '<p class="empty">(no reply)</p>'
    faults = _faults(transcript.values.get(system.name, {}))
    chips = "".join(f'<span class="chip">{fault}</span>' for fault in faults) or '<span class="chip ok">passes every check</span>'
    return f'<div class="reply {system.role}"><h3>{escape(system.title)}</h3>{body}<div class="chips">{chips}</div></div>'


def _faults(values: Mapping[str, float | None]) -> list[str]:
    found = []
    for name, side, limit, text in FAULTS:
        value = values.get(name)
        if value is not None and (value < limit if side == "below" else value >= limit):
            found.append(text)
    return found


def rules(evaluation: Evaluation) -> str:
    """Every rule of the protocol with what was measured."""
    verdict = evaluation.verdict
    if verdict is None:
        return ""
    marks = {True: "holds", False: "does not hold", None: "not applied"}
    rows = "".join(
        f'<tr><td>{escape(f.rule)}</td><td class="mark">{"gain" if f.part == "gain" else "guard"}</td><td>'
        f"{escape(f.figures)}</td>"
        f'<td class="mark"><span class="chip{" ok" if f.holds else ""}">{marks[f.holds]}</span></td></tr>'
        for f in verdict.findings
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in verdict.notes)
    return (
        f"<section><h2>The rules</h2><p class='lead'>Written down before the run, as protocol <code>"
        f"{escape(verdict.protocol_hash)}</code>. To be promoted, a "
        "model needs at least one gain, and every guard.</p><div class='scroll' tabindex='0' role='region' aria-label='Rules'>"
        '<table class="words"><thead><tr><th scope="col">Rule</th><th scope="col">Part</th><th scope="col">Measured</th><th '
        'scope="col">Outcome</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{notes}</section>"
    )


def measures(evaluation: Evaluation) -> str:
    """What each measure rests on."""
    rows = "".join(
        f"<tr><td>{escape(m.title)}</td><td><code>{escape(m.name)}</code></td><td>{escape(m.source)}</td></tr>"
        for m in evaluation.measures
    )
    return (
        "<section><h2>How far the measures can be trusted</h2><p class='lead'>“Validated” was compared with the labels of "
        "people; “proxy” was not, or agrees "
        "only roughly. Engagement and cultural fit are not measured: a person has to judge them.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Measures"><table class="words"><thead><tr><th '
        'scope="col">Measure</th><th scope="col">Name</th>'
        f'<th scope="col">Rests on</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def origin(evaluation: Evaluation) -> str:
    """Lineage: what has to be known to repeat the run or to doubt it."""
    facts: list[tuple[str, str]] = [("Dataset version", evaluation.dataset), ("Protocol", evaluation.protocol.hash)]
    for system in evaluation.systems:
        if system.role == "authored":
            continue
        shots = f", {system.demonstrations} demonstrations from the training split" if system.demonstrations else ""
        facts.append((system.title, f"{system.model}{f' ({system.identity})' if system.identity else ''}{shots}"))
    facts += [(f"Prompt of {system.title}", system.system_text) for system in evaluation.systems if system.system_text]
    facts += [
        ("Generation", ", ".join(f"{key} {value}" for key, value in evaluation.settings.items() if value not in (None, [], "")))
    ]
    facts += [(str(key), str(value)) for key, value in evaluation.lineage.items()]
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in facts if text)
    return (
        f'<section><h2>Where this comes from</h2><div class="scroll" tabindex="0" role="region" aria-label="Lineage"><table '
        f'class="words"><tbody>{rows}</tbody>'
        "</table></div></section>"
    )
