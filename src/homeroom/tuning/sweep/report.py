"""A sweep's report: one page that loads nothing, with the losses by learning rate, the losses by step, and every trial."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib import resources

from homeroom.data.page import page_head
from homeroom.tuning.sweep.plots import by_rate, by_step, key
from homeroom.tuning.sweep.space import SweepSpec
from homeroom.tuning.sweep.study import Study, Trial
from homeroom.tuning.sweep.summary import verdict

HTML_NAME = "report.html"


def render(study: Study, spec: SweepSpec, recipe_text: str, lineage: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        study: With its trials.
        spec: What was searched.
        recipe_text: The winner's recipe.
        lineage: What it was made of: dataset, base, code.
    """
    title = escape(f"Sweep {study.folder.name}")
    style = resources.files("homeroom.tuning.sweep").joinpath("report.css").read_text(encoding="utf-8")
    made_of = " · ".join(f"{escape(name)}: {escape(value)}" for name, value in lineage.items() if value)
    won = "".join(f"<p>{escape(line)}</p>" for line in verdict(study, spec))
    keys = key(study.trials)
    parts = (
        f'<section class="card won">{won}</section>',
        '<p class="note">The validation part chose between the trials, so it flatters the winner. How it teaches, on examples '
        "that nobody has trained or chosen by, says: homeroom eval run</p>",
        f'<section><h2>Loss by learning rate</h2><p class="lead">Lower is better. Hollow points were stopped early. Shaded: the '
        f'ranges.</p><div class="card">{by_rate(study, spec)}{keys}</div></section>',
        f'<section><h2>Loss by step</h2><p class="lead">Validation loss as each trial went on; the winner is thick, what was '
        f'stopped is dashed.</p><div class="card">{by_step(study)}{keys}</div></section>',
        f'<section><h2>Trials</h2><div class="card">{_table(study)}</div></section>',
        f'<section><h2>The winner\'s recipe</h2><div class="card"><pre>{escape(recipe_text)}</pre></div></section>',
    )
    body = "\n".join(parts)
    head = f'<header><h1>{title}</h1><p class="lead">{made_of}</p></header>'
    return f"{page_head(title, style)}<body>\n{head}\n<main>\n{body}\n</main>\n</body>\n</html>\n"


def _table(study: Study) -> str:
    names = ("trial", "from", "learning rate", "rank", "alpha", "validation loss", "best step", "seconds", "outcome")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(_row(trial, study) for trial in study.trials)}</tbody></table>"


def _row(trial: Trial, study: Study) -> str:
    loss = trial.shown_loss
    cells = (
        str(trial.number + 1),
        trial.origin,
        f"{trial.point.learning_rate:.3g}",
        str(trial.point.rank),
        f"{trial.point.alpha:g}",
        "" if loss is None else f"{loss:.4f}",
        str(trial.best_step or ""),
        f"{trial.seconds:.0f}",
        trial.note or trial.state,
    )
    mark = ' class="best"' if trial is study.best else ""
    return f"<tr{mark}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
