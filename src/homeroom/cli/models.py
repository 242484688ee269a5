"""``homeroom models``: list, pull, import, show, choose, export and delete models."""

from __future__ import annotations

import dataclasses

import click

from homeroom.cli import models_export, tune_files
from homeroom.cli.common import emit, json_option, open_home, size, table, when


@click.group(name="models")
def command() -> None:
    """List, pull, import, choose, export and delete models."""


command.add_command(models_export.command)


@command.command(name="list")
@click.option("--bases", is_flag=True, help="The models of the catalogue, with size and licence.")
@json_option
@click.pass_context
def list_(ctx: click.Context, bases: bool, as_json: bool) -> None:
    """List the models that can be used now, or with --bases those that can be pulled."""
    home = open_home(ctx)
    if bases:
        _bases(home, as_json)
        return
    from homeroom.app.embedders import HomeEmbedders
    from homeroom.app.talk import running_directory

    cards = running_directory(home).list()
    embedders = HomeEmbedders(home).list()
    rows = [
        (
            c.name,
            str(c.kind),
            c.task,
            c.suitability,
            c.verdict if c.kind == "tuned" else "",
            ", ".join(c.default_for),
            when(c.created_at),
        )
        for c in cards
    ]
    rows += [(e.name, "embedding", "", "", "", "", "") for e in embedders]
    emit(
        [*(dataclasses.asdict(c) for c in cards), *({**dataclasses.asdict(e), "kind": "embedding"} for e in embedders)],
        as_json,
        lambda: table(("model", "kind", "task", "suitability", "verdict", "used for", "made"), rows),
    )


def _bases(home: object, as_json: bool) -> None:
    from homeroom.app.home import Homeroom
    from homeroom.models.catalogue import load_catalogue, load_embedders
    from homeroom.models.embed_files import find_embedder
    from homeroom.models.pull import installed

    assert isinstance(home, Homeroom)
    entries = list(load_catalogue())
    here = {e.name: installed(e.name, home.settings.cache) is not None for e in entries}
    rows = [
        (
            e.name,
            "here" if here[e.name] else "",
            f"{e.parameters_m} M",
            size(e.memory_mb * 1e6),
            e.context_tokens,
            e.licence,
            e.suitability,
        )
        for e in entries
    ]
    data = [{**dataclasses.asdict(e), "kind": "base", "installed": here[e.name]} for e in entries]
    embedders = load_embedders()
    found = {e.name: find_embedder(e.name, home.settings.cache) is not None for e in embedders}
    vectors = [
        (
            e.name,
            "here" if found[e.name] else "",
            f"{e.parameters_m} M",
            size(e.memory_mb * 1e6),
            e.dimensions,
            e.licence,
            e.languages,
        )
        for e in embedders
    ]
    data += [{**dataclasses.asdict(e), "kind": "embedding", "installed": found[e.name]} for e in embedders]

    def text() -> None:
        table(("base model", "", "parameters", "memory", "context", "licence", "suitability"), rows)
        click.echo("Any other Hugging Face id works too: homeroom models pull ORG/NAME\n")
        table(("embedding model", "", "parameters", "memory", "dimensions", "licence", "languages"), vectors)

    emit(data, as_json, text)


@command.command()
@click.argument("name", required=False)
@json_option
@click.pass_context
def pull(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Fetch, verify and prepare a model: a catalogue name or a Hugging Face id. An interrupted pull continues."""
    from homeroom.app.bases import fetch_base
    from homeroom.cli import progress

    home = open_home(ctx)
    line = progress.Line(as_json)

    def show(done: int, total: int, message: str) -> None:
        if total:
            line.show(f"{progress.bar(done / total)}  {size(done)} of {size(total)}  {message}", final=done >= total)
        else:
            line.show(f"{message} ...", final=True)

    files = fetch_base(home, name or home.settings.default_base, show)
    data = {"name": files.name, "identity": files.identity, "folder": str(files.folder), "context_tokens": files.context_tokens}
    emit(data, as_json, lambda: click.echo(f"{files.name} is ready (identity {files.identity[:16]})."))


@command.command()
@click.argument("name")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show a tuned model: lineage, numbers of its run, scorecards."""
    home = open_home(ctx)
    model = home.registry.get(name)
    scorecards = home.registry.scorecards(model.name)
    data = {**dataclasses.asdict(model), "scorecards": [dataclasses.asdict(s) for s in scorecards]}

    def text() -> None:
        click.secho(model.name, bold=True)
        for key in (
            "task",
            "method",
            "kind",
            "suitability",
            "verdict",
            "base",
            "base_identity",
            "dataset",
            "job_id",
            "code_version",
        ):
            click.echo(f"  {key:<14} {getattr(model, key)}")
        click.echo(f"  {'made':<14} {when(model.created_at)}")
        if model.artifact:
            click.echo(f"  {'files':<14} {home.artifacts.path(model.artifact)}")
        for key, value in model.metrics.items():
            click.echo(f"  {key:<22} {value:.4g}" if isinstance(value, float) else f"  {key:<22} {value}")
        for card in scorecards:
            click.echo(f"  scorecard {when(card.created_at)}: {card.summary.get('headline', '')}")
            if card.report_artifact:
                click.echo(f"    {home.artifacts.path(card.report_artifact) / 'report.html'}")

    emit(data, as_json, text)


@command.command()
@click.argument("name")
@click.option(
    "--task", type=click.Choice(["tutor", "learner"]), help="Which pages it answers; the model's own task when omitted."
)
@json_option
@click.pass_context
def use(ctx: click.Context, name: str, task: str | None, as_json: bool) -> None:
    """Choose the model that the chat (tutor) or the practice (learner) uses."""
    from homeroom.app.talk import running_directory
    from homeroom.chat.directory import find_card
    from homeroom.errors import ConfigError

    home = open_home(ctx)
    models = running_directory(home)
    from homeroom.app.talk import full_name

    card = find_card(models, full_name(home, models, name) or name)
    wanted = task or (card.task if card.task in ("tutor", "learner") else None)
    if wanted is None:
        raise ConfigError(f"{card.name!r} may answer as tutor or learner. Say which: --task tutor", code="task-needed")
    models.use_for(card.name, wanted)
    emit({"model": card.name, "task": wanted}, as_json, lambda: click.echo(f"{card.name} now answers as {wanted}."))


@command.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def delete(ctx: click.Context, name: str, yes: bool, as_json: bool) -> int:
    """Delete a tuned model: files, scorecards, checkpoints, and what a run deployed at an endpoint. Refused while it is used."""
    from homeroom.app.deleting import delete_model

    home = open_home(ctx)
    model = home.registry.get(name)
    if not yes and not click.confirm(f"Delete {model.name} and its files?", err=True):
        emit({"deleted": None}, as_json, lambda: click.echo("Nothing was deleted."))
        return 1
    left = delete_model(home, model.name)
    tune_files.see_to(home, [left] if left is not None else [])
    emit({"deleted": model.name}, as_json, lambda: click.echo(f"Deleted {model.name}."))
    return 0


@command.command(name="import")
@click.argument("source")
@click.option("--base", help="Base model that it was tuned on.")
@click.option(
    "--task", type=click.Choice(["tutor", "learner"]), default="tutor", show_default=True, help="What it was tuned to be."
)
@click.option("--suffix", help="What to call it: up to 64 lower-case letters, digits and hyphens.")
@click.option("--system", default="", help="System prompt it was tuned with.")
@json_option
@click.pass_context
def import_(ctx: click.Context, source: str, base: str | None, task: str, suffix: str | None, system: str, as_json: bool) -> None:
    """Take in a tuned model: a PEFT folder, a GGUF LoRA, or ENDPOINT/ft:... of an endpoint of the settings."""
    from homeroom.app.importing import import_model

    home = open_home(ctx)
    model = import_model(home, source, base=base, task=task, suffix=suffix, system_prompt=system)

    def text() -> None:
        judge = f" Judge it: homeroom eval run --model {model.id8} --dataset NAME" if model.kind == "lora" else ""
        click.echo(f"Registered {model.name}.{judge}")

    emit(dataclasses.asdict(model), as_json, text)
