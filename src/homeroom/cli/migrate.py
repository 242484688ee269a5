"""``homeroom migrate``: from a provider's fine-tuning to one's own machine."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeroom.cli.common import emit, json_option, open_home, plural, table, when
from homeroom.cli.spending import asking, yes_option
from homeroom.cli.values import FiniteRange
from homeroom.errors import ConfigError

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.app.migration.folder import MigrationFolder
    from homeroom.app.migration.inventory import Inventory
    from homeroom.app.migration.record import Estimate

folder_argument = click.argument("folder", type=click.Path(path_type=Path))
endpoint_option = click.option(
    "--endpoint", default="openai", show_default=True, help="Endpoint of the settings; openai needs only OPENAI_API_KEY."
)
model_option = click.option("--model", required=True, help="A tuned model of the inventory: ft:...")
items_option = click.option(
    "--items", type=click.IntRange(1, 2000), help="Most prompts; those that were chosen before when omitted, and else 40."
)
prompts_option = click.option(
    "--prompts", type=click.Path(path_type=Path), help="JSONL of your own prompts, in place of the job's validation file."
)


@click.group(name="migrate")
def command() -> None:
    """Bring tuned models home before their provider ends them."""


@command.group(name="openai")
def openai_group() -> None:
    """From OpenAI's fine-tuning, or another endpoint with its API.

    Each step writes into FOLDER and can be stopped and run again: inventory, download, record, retrain, compare.
    """


def _opened(home: Homeroom, folder: Path, endpoint: str) -> tuple[MigrationFolder, str, str | None]:
    """The folder, and the address and key of the account."""
    from homeroom.app.migration.account import account_of
    from homeroom.app.migration.folder import MigrationFolder

    base_url, key = account_of(home.settings, endpoint)
    return MigrationFolder.open(folder, endpoint, base_url), base_url, key


def _here(folder: Path) -> MigrationFolder:
    """A folder that a migration was begun in: what follows needs neither the account nor its key."""
    from homeroom.app.migration.folder import MigrationFolder
    from homeroom.errors import NotFoundError

    place = MigrationFolder(folder)
    if not place.about.is_file():
        raise NotFoundError(
            f"{str(folder)!r} holds no migration. Begin one: homeroom migrate openai inventory {folder}",
            code="migration-inventory",
        )
    return place


def _kept_inventory(folder: MigrationFolder) -> Inventory:
    from homeroom.app.migration.inventory import Inventory
    from homeroom.errors import NotFoundError

    if not folder.inventory.is_file():
        raise NotFoundError(
            f"{str(folder.root)!r} has no inventory yet. Take it: homeroom migrate openai inventory {folder.root}",
            code="migration-inventory",
        )
    return Inventory.from_dict(folder.read(folder.inventory))


@openai_group.command()
@folder_argument
@endpoint_option
@json_option
@click.pass_context
def inventory(ctx: click.Context, folder: Path, endpoint: str, as_json: bool) -> None:
    """List the account's tuned models and jobs, and the days they have left. Nothing is changed there."""
    from homeroom.app.migration.inventory import take_inventory
    from homeroom.models.openai_account import OpenAIAccount

    home = open_home(ctx)
    place, base_url, key = _opened(home, folder, endpoint)
    with closing(OpenAIAccount(endpoint, base_url, key)) as account:
        found = take_inventory(account, place)

    def text() -> None:
        if not found.tuned:
            click.echo(f"No tuned model; {plural(len(found.jobs), 'job')}.")
            return
        rows = [
            (
                t.model,
                t.base,
                t.job or "-",
                t.trained_tokens,
                when(t.finished_at) if t.finished_at else "",
                "gone" if not t.listed else t.shutdown or "no date",
                "" if t.days_left is None else t.days_left,
            )
            for t in found.tuned
        ]
        table(("model", "base", "job", "trained tokens", "made", "ends", "days left"), rows)
        for tuned in found.ends_soon:
            click.secho(f"{tuned.model}: {plural(max(0, tuned.days_left or 0), 'day')} left", fg="red", err=True)
        click.echo(f"Next: homeroom migrate openai download {folder}")

    emit(found.to_dict(), as_json, text)


@openai_group.command()
@folder_argument
@endpoint_option
@json_option
@click.pass_context
def download(ctx: click.Context, folder: Path, endpoint: str, as_json: bool) -> None:
    """Fetch training files, hyperparameters, events, checkpoints and result tables; what is here is not fetched again."""
    from homeroom.app.migration.download import download as fetch
    from homeroom.app.migration.inventory import take_inventory
    from homeroom.models.openai_account import OpenAIAccount

    home = open_home(ctx)
    place, base_url, key = _opened(home, folder, endpoint)
    with closing(OpenAIAccount(endpoint, base_url, key)) as account:
        found = take_inventory(account, place)  # jobs may have ended since
        outcome = fetch(account, place, found, lambda line: None if as_json else click.echo(line, err=True))

    def text() -> None:
        told = f"{plural(outcome.fetched, 'file')} fetched, {outcome.kept} here already, {plural(len(found.jobs), 'job')}"
        click.echo(told + (f"; gone from the account: {', '.join(outcome.gone)}" if outcome.gone else ""))
        if found.tuned:
            click.echo(f"Next: homeroom migrate openai record {folder} --model {found.tuned[0].model} --budget-usd 1")

    emit(dataclasses.asdict(outcome), as_json, text)


@openai_group.command()
@folder_argument
@endpoint_option
@model_option
@prompts_option
@items_option
@click.option("--max-tokens", default=256, show_default=True, type=click.IntRange(1, 4096), help="Longest answer, in tokens.")
@click.option("--budget-usd", required=True, type=FiniteRange(0), help="For this folder in all, earlier spending included.")
@click.option("--yes", is_flag=True, help="Do not ask before sending.")
@json_option
@click.pass_context
def record(
    ctx: click.Context,
    folder: Path,
    endpoint: str,
    model: str,
    prompts: Path | None,
    items: int | None,
    max_tokens: int,
    budget_usd: float,
    yes: bool,
    as_json: bool,
) -> int:
    """Record the old model's answers while it lives. The cost is told first, and the budget cannot be overspent."""
    from homeroom.app.migration import prompts as choosing
    from homeroom.app.migration.record import estimate, price_of
    from homeroom.app.migration.record import record as ask
    from homeroom.cli import progress
    from homeroom.ledger.meter import CallMeter
    from homeroom.ledger.prices import load_prices
    from homeroom.ledger.records import About
    from homeroom.models.client import OpenAIChatModel
    from homeroom.schema.chat import GenerationSettings

    home = open_home(ctx)
    place, base_url, key = _opened(home, folder, endpoint)
    tuned = choosing.tuned_named(_kept_inventory(place), model)
    chosen = choosing.choose(place, tuned, items, prompts)
    prices = load_prices(home.settings.home)
    price, settings = price_of(prices, model), GenerationSettings(max_tokens=max_tokens, seed=20)
    before = estimate(place, model, chosen.items, settings, price)
    if not as_json:
        click.echo(f"{plural(len(chosen.items), 'prompt')} {choosing.TOLD[chosen.source]}", err=True)
        click.echo(f"{_forecast(before, budget_usd)} (prices of {prices.as_of})", err=True)
    if before.requests and before.at_most_usd and not yes:
        _confirm(before, as_json)
    line = progress.Line(as_json)
    meter = CallMeter(home.ledger, About(model, "data", home.settings.project, "openai"), price)
    with closing(OpenAIChatModel(model, base_url, model, api_key=key, max_retries=0, meter=meter)) as chat:
        after = ask(
            place,
            model,
            chat,
            chosen.items,
            settings,
            price,
            budget_usd,
            tell=lambda done, total, usd: line.show(
                f"{progress.bar(done / total)}  {done} of {total} answers  ${usd:.4f}", final=done == total
            ),
        )
    data = {"answers": len(chosen.items) - after.requests, "left": after.requests, "spent_usd": round(after.spent_usd, 9)}

    def text() -> None:
        click.echo(f"{data['answers']} answers kept, {after.requests} left, ${after.spent_usd:.4f} spent or held.")
        click.echo(
            _left(after, budget_usd) if after.requests else f"Next: homeroom migrate openai retrain {folder} --model {model}"
        )

    emit(data, as_json, text)
    return 1 if after.requests else 0


def _forecast(before: Estimate, budget_usd: float) -> str:
    return (
        f"{plural(before.requests, 'request')} left, at most ${before.at_most_usd:.4f}; "
        f"spent or held so far ${before.spent_usd:.4f} of ${budget_usd:.2f}"
    )


def _left(after: Estimate, budget_usd: float) -> str:
    """Why answers are left, and what to do."""
    if (needed := after.spent_usd + after.at_most_usd) > budget_usd:
        return f"The budget of ${budget_usd:.2f} does not hold the rest. Raise it: --budget-usd {needed + 0.005:.2f}"
    return "The endpoint failed to answer the rest. Run the same command again: what is kept is not asked again."


def _confirm(before: Estimate, as_json: bool) -> None:
    """Ask before money is spent; a script, which cannot be asked, has to have agreed."""
    if as_json:
        raise ConfigError(
            f"{plural(before.requests, 'request')} would cost at most ${before.at_most_usd:.4f}. Agree to it: --yes",
            code="needs-yes",
        )
    click.confirm("Send them?", abort=True, err=True)


@openai_group.command()
@folder_argument
@model_option
@prompts_option
@items_option
@click.option("--base", help="Base model here; the default base when omitted.")
@click.option(
    "--recipe",
    "recipe_path",
    default="recipes/course.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Recipe; its run for tutors is taken.",
)
@yes_option
@json_option
@click.pass_context
def retrain(
    ctx: click.Context,
    folder: Path,
    model: str,
    prompts: Path | None,
    items: int | None,
    base: str | None,
    recipe_path: Path,
    yes: bool,
    as_json: bool,
) -> None:
    """Tune a base on this machine with the same data, by the method of the old job: supervised or dpo.

    The prompts that will be compared train nothing.
    """
    from homeroom.app.migration import prompts as choosing
    from homeroom.app.migration.retrain import dataset_of, recipe_of
    from homeroom.app.migration.retrain import retrain as tune
    from homeroom.cli import progress
    from homeroom.cli.tune import chosen_recipes

    home = open_home(ctx)
    place = _here(folder)
    tuned = choosing.tuned_named(_kept_inventory(place), model)
    recipe = recipe_of(place, tuned, chosen_recipes(recipe_path, None, "tutor")[0])
    if tuned.base.startswith("ft:"):
        told = f"{model} was tuned on top of {tuned.base}: what that one learnt before is not in this job's data."
        click.secho(told, fg="yellow", err=True)
    dataset = dataset_of(home, place, tuned, choosing.choose(place, tuned, items, prompts))
    job = tune(home, dataset, tuned, recipe, base, spend=asking(yes=yes, as_json=as_json))
    job = progress.wait(home, job, quiet=as_json)
    made = str((job.result or {})["model"])
    version = f"{dataset.info.name}@{dataset.info.version}"
    data = {"model": made, "dataset": version, "job": job.id, "objective": recipe.objective}

    def text() -> None:
        click.echo(f"Registered {made}, tuned on {data['dataset']}{' (dpo)' if recipe.objective == 'dpo' else ''}")
        click.echo(f"Next: homeroom migrate openai compare {folder} --model {model} --with {made}")

    emit(data, as_json, text)


@openai_group.command()
@folder_argument
@model_option
@click.option("--items", type=click.IntRange(1, 2000), help="Most of the recorded prompts; all when omitted.")
@click.option("--with", "candidate", required=True, help="The model that was tuned here: name, id8 or suffix.")
@click.option("--max-tokens", default=256, show_default=True, type=click.IntRange(1, 4096), help="Longest answer, in tokens.")
@json_option
@click.pass_context
def compare(
    ctx: click.Context, folder: Path, model: str, items: int | None, candidate: str, max_tokens: int, as_json: bool
) -> int:
    """Set the new model's answers beside the old one's: measures, intervals, a verdict and a report in FOLDER.

    The prompts are those of `record`, which has to come first; nothing is asked of the account.
    """
    from homeroom.app.migration import prompts as choosing
    from homeroom.app.migration.retrain import asked_of
    from homeroom.app.migration.retrain import compare as judge
    from homeroom.cli.demo_view import Screen
    from homeroom.schema.chat import GenerationSettings

    home = open_home(ctx)
    place = _here(folder)
    tuned = choosing.tuned_named(_kept_inventory(place), model)
    chosen = asked_of(place, tuned, items)
    settings = GenerationSettings(max_tokens=max_tokens, seed=20)
    result, report = judge(home, place, tuned, home.registry.get(candidate), chosen, settings)

    def text() -> None:
        Screen(home).evaluation(result)
        click.echo(f"\n   Whole report: {report}")

    emit({**result.summary(), "report": str(report), "made": datetime.now(UTC).isoformat()}, as_json, text)
    return 0 if result.verdict is not None and result.verdict.outcome == "promote" else 1
