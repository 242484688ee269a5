"""Checking data as a home sees it: files or dataset versions, the tokenizer of a base that was pulled, a person's decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from homeroom.app.bases import listed_base
from homeroom.app.home import Homeroom
from homeroom.app.meaning import embed_for
from homeroom.data.datasets import Dataset
from homeroom.data.lint.against import numbered, with_other
from homeroom.data.lint.config import LintConfig, find_config, load_config, read_roster
from homeroom.data.lint.model import Options
from homeroom.data.lint.report import make_report
from homeroom.data.lint.report_parts import Report
from homeroom.data.lint.review import settle
from homeroom.data.lint.run import LintResult, Progress, lint
from homeroom.data.stats import TokenCounter
from homeroom.models.pull import require
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Example, Message
from homeroom.settings import Settings

SEMANTIC = "DIV004"
"""The rule that compares meanings."""


def check_files(
    files: Sequence[str | Path],
    *,
    settings: Callable[[], Settings],
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    config: Path | None = None,
    base: str = "",
    max_tokens: int = 0,
    method: str = "",
    roster: Path | None = None,
    against: str | Path | None = None,
    semantic: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> LintResult:
    """Every rule over files, or over one dataset version.

    Args:
        files: Files of any kind, or one ``NAME``, ``NAME@VERSION`` or id of a dataset.
        settings: Asked for when a home or a model is needed, and not otherwise.
        format: Of the records; detected when None.
        columns: For tables: field to heading.
        select: Rules to run by code, family or name; all when empty.
        ignore: Rules to leave out.
        config: A configuration file; the one beside the first file when None.
        base: Base model whose tokenizer counts.
        max_tokens: Limit of an example; the base's context when 0.
        method: What the data is for.
        roster: A file with the names of the class.
        against: A file or dataset version that models will be judged on: what the files share with it is reported at their lines.
        semantic: Compare meanings with an embedding model.
        jobs: Processes.
        progress: Told of bytes done.
        announce: Told what costs time, before it begins.

    Raises:
        HomeroomError: what `homeroom.data.lint.run.lint` raises; a model that was not pulled (``not-pulled``).
    """
    source = _source(files, format, columns, settings)
    options, chosen = _options(settings, config, source.own, base, max_tokens, method, roster, semantic)
    with embed_for(options, chosen, select, ignore, settings, announce) as embed:
        found = lint(
            source.paths,
            options,
            select,
            ignore,
            config=chosen,
            format=source.format,
            columns=source.columns,
            splits=source.splits,
            jobs=jobs,
            progress=progress,
            embed=embed,
            announce=announce,
        )
    return _judged(settle(found)[0], source.paths, against, settings, options)


def _judged(
    result: LintResult, paths: Sequence[Path], against: str | Path | None, settings: Callable[[], Settings], options: Options
) -> LintResult:
    """The result, with what the files share with what models will be judged on where that is named."""
    return with_other(result, paths, _judged_on(against, settings), str(against), options) if against else result


@dataclass(frozen=True, slots=True)
class _Source:
    """What is checked.

    Attributes:
        paths: Files, or the one of a dataset version.
        own: Files beside which a configuration may lie; it belongs to none of a version's.
        format: Of the records; detected when None.
        columns: For tables: field to heading.
        splits: Of a version: example to split.
    """

    paths: Sequence[Path]
    own: Sequence[Path] = ()
    format: str | None = None
    columns: Mapping[str, str] | None = None
    splits: Mapping[str, str] | None = None


def _source(
    files: Sequence[str | Path], format: str | None, columns: Mapping[str, str] | None, settings: Callable[[], Settings]
) -> _Source:
    paths = [Path(file) for file in files]
    if not _is_dataset(paths):
        return _Source(paths, paths, format, columns)
    stored, splits = _stored(str(files[0]), settings)
    return _Source(stored, splits=splits)


def _stored(named: str, settings: Callable[[], Settings]) -> tuple[list[Path], dict[str, str]]:
    """The file of a dataset version, and which split each of its examples is in."""
    with Homeroom.open(settings()) as home:
        dataset = home.datasets.get(named)
        return [home.artifacts.path(dataset.info.artifact) / "examples.jsonl"], dict(dataset.splits)


def report_on(
    files: Sequence[str | Path],
    *,
    settings: Callable[[], Settings],
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    progress: Progress | None = None,
) -> Report:
    """What the report's page shows, of files or of one dataset version with its splits.

    Args:
        files: Files of any kind, or one ``NAME``, ``NAME@VERSION`` or id of a dataset.
        settings: Asked for when a home is needed, and not otherwise.
        select: Rules to run by code, family or name; all when empty.
        ignore: Rules to leave out.
        progress: Told of bytes done.

    Raises:
        HomeroomError: what `homeroom.data.lint.run.lint` raises; ``dataset-not-found``.
    """
    paths = [Path(file) for file in files]
    if not _is_dataset(paths):
        return make_report(paths, select=select, ignore=ignore, progress=progress)
    with Homeroom.open(settings()) as home:
        dataset = home.datasets.get(str(files[0]))
        path = home.artifacts.path(dataset.info.artifact) / "examples.jsonl"
        title = f"{dataset.info.name}@{dataset.info.version}"
        return make_report([path], select=select, ignore=ignore, title=title, splits=dict(dataset.splits), progress=progress)


def _is_dataset(paths: Sequence[Path]) -> bool:
    """Whether a single name is meant, and no file: nothing is there, and it has no suffix."""
    return len(paths) == 1 and not paths[0].exists() and not paths[0].suffix


def _judged_on(named: str | Path, settings: Callable[[], Settings]) -> list[tuple[int, Example]]:
    """(line, example) of what will be judged on: a whole file, or the test part of a dataset version."""
    path = Path(named)
    if path.exists() or path.suffix:
        return list(numbered(path))
    (path,), splits = _stored(str(named), settings)
    return [(line, example) for line, example in numbered(path) if splits[example.id] == "test"]


def check_dataset(home: Homeroom, dataset: Dataset) -> LintResult:
    """Every rule over a version, its splits known."""
    path = home.artifacts.path(dataset.info.artifact) / "examples.jsonl"
    return lint(path, splits=dict(dataset.splits))


def _options(
    settings: Callable[[], Settings],
    config: Path | None,
    paths: Sequence[Path],
    base: str,
    max_tokens: int,
    method: str,
    roster: Path | None,
    semantic: bool = False,
) -> tuple[Options, LintConfig]:
    path = config or (find_config(paths) if paths else None)
    chosen = load_config(path) if path else LintConfig()
    names = read_roster(roster) if roster else frozenset()
    options = chosen.options(Options(base=base, method=method, max_tokens=max_tokens, roster=names))
    if semantic:
        own = {**options.thresholds.get(SEMANTIC, {}), "method": "embedding"}
        options = replace(options, thresholds={**options.thresholds, SEMANTIC: own})
    return with_tokenizer(options, settings), chosen


def with_tokenizer(options: Options, settings: Callable[[], Settings]) -> Options:
    """The options with the folder of the base's tokenizer and the limit of its context, where a base is named.

    Raises:
        NotFoundError: the base was not pulled yet (``not-pulled``), or there is none of that name (``unknown-model``).
    """
    if not options.base:
        return options
    files = require(options.base, settings().cache)
    listed = listed_base(options.base)
    limit = options.max_tokens or (listed.context_tokens if listed else 0)
    return replace(options, tokenizer=str(files.weights), max_tokens=limit)


def tokenizer_of(base: str | None, settings: Callable[[], Settings]) -> ChatTokenizer:
    """The tokenizer and chat template of a base (the default one when None).

    Raises:
        NotFoundError: it was not pulled yet (``not-pulled``), or there is none of that name (``unknown-model``).
    """
    known = settings()
    return ChatTokenizer(require(base or known.default_base, known.cache).weights)


def token_counter(base: str | None, settings: Callable[[], Settings]) -> TokenCounter:
    """Counts the tokens of a conversation, and those that carry loss."""
    tokenizer = tokenizer_of(base, settings)

    def count(messages: Sequence[Message]) -> tuple[int, int]:
        ids, mask = tokenizer.encode_chat(messages)
        return len(ids), sum(mask)

    return count
