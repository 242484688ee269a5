"""Planning and submitting tuning runs."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from homeroom.app.endpoints import base_here, endpoint_identity, endpoint_of
from homeroom.app.forecasts import calibrations, record
from homeroom.app.metering import price_at
from homeroom.app.sizes import REQUEST_BYTES, characters_of, most_bytes
from homeroom.app.work import MOST_JOBS, NOW, When, is_gone, key_of, submit_once
from homeroom.data.datasets import Dataset
from homeroom.errors import ConfigError, DataError
from homeroom.runtime.hardware import hardware, parse_memory
from homeroom.schema.jobs import Job
from homeroom.schema.tuning import Plan, TrainingData
from homeroom.tuning.dspy.recipe import DspyRecipe
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.prompts.recipe import PromptRecipe
from homeroom.tuning.prompts.search import candidates
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import Run

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

CHARACTERS_A_TOKEN = 4  # of English text, roughly: an endpoint's tokenizer is not here
SECONDS_A_REQUEST = 2.0  # assumed, and said so
Json = dict[str, Any]  # a job's payload


def training_data(dataset: Dataset, recipe: Recipe) -> TrainingData:
    """Train and validation examples of the recipe's task; the test split stays out.

    Raises:
        DataError: there is none to train on (``too-few-examples``).
    """
    task = None if recipe.task == "any" else recipe.task
    train = dataset.part("train", task)
    if not train:
        raise DataError(
            f"Dataset {dataset.info.name}@{dataset.info.version} has no training example for the task {recipe.task!r} "
            f"(it has: {', '.join(dataset.tasks)}). Add some, or choose --task {dataset.tasks[0]}",
            code="too-few-examples",
        )
    return TrainingData(dataset.info.id, train, dataset.part("validation", task))


def runs_for(home: Homeroom, recipes: Sequence[Recipe], tasks: Collection[str]) -> list[Recipe]:
    """The runs that there are examples for, of the tasks that a dataset has; none when it has no example for any.

    One prompt plays one part: at an endpoint a run for both becomes two.
    """
    runs: list[Recipe] = []
    for recipe in recipes:
        wanted = [task for task in recipe.tasks if task in tasks]
        apart = len(wanted) < len(recipe.tasks) or endpoint_of(home.settings, recipe.base) is not None
        runs += [recipe.for_task(task) for task in wanted] if apart else [recipe]
    return runs


def plan_tuning(home: Homeroom, dataset: str, recipe: Run, *, gpu: str = "") -> Plan:
    """What the run will need; starts nothing.

    Args:
        home: The open home.
        dataset: Id, name or name@version.
        recipe: What would be run.
        gpu: Memory of a GPU to plan for, such as ``24GB``, be there one here or not.

    Raises:
        NotFoundError: no such dataset, or the base model is not on this machine.
        DataError: nothing to train on.
        ConfigError: ``memory-size``; ``recipe-method``: a GPU is named for what no GPU of one's own tunes.
    """
    gpu_bytes = parse_memory(gpu) if gpu else 0
    if gpu and (not isinstance(recipe, Recipe) or endpoint_of(home.settings, recipe.base) is not None):
        raise ConfigError(
            f"A GPU of {gpu!r} is for runs that train weights on one's own machine, and {recipe.name!r} does not. Plan it "
            "without --gpu, or with a base that is on this machine and the method huggingface: homeroom tune plan --help",
            code="recipe-method",
        )
    if isinstance(recipe, DspyRecipe):
        from homeroom.app.dspy_plan import plan_program

        return plan_program(home, home.datasets.get(dataset), recipe)
    if isinstance(recipe, OpenAIRecipe):
        from homeroom.app.openai_plan import plan_remote

        return plan_remote(home, home.datasets.get(dataset), recipe)
    from homeroom.tuning.huggingface.tuner import HuggingFaceTuner

    if endpoint_of(home.settings, recipe.base) is not None:
        return plan_prompt(home, home.datasets.get(dataset), prompt_recipe(recipe))
    tuner = HuggingFaceTuner(
        base_here(home, recipe.base), home.work_root, home.artifacts, calibrations=calibrations(home), record=record(home)
    )
    return tuner.plan(training_data(home.datasets.get(dataset), recipe), recipe, gpu_bytes=gpu_bytes)


def is_unmeasured(home: Homeroom, runs: Sequence[Run]) -> bool:
    """Whether planning one of the runs will measure this machine first, as nothing was measured here before.

    Raises:
        NotFoundError: ``not-pulled``, ``unknown-model``: a base of weights is not here, which is better told before.
    """
    here = [
        run
        for run in runs
        if not isinstance(run, DspyRecipe) and endpoint_of(home.settings, run.base) is None and not _wants_absent_gpu(run)
    ]
    for run in here:
        if isinstance(run, Recipe):
            base_here(home, run.base)
    folder = calibrations(home)
    return bool(here) and not (folder.is_dir() and any(folder.iterdir()))


def _wants_absent_gpu(run: Run) -> bool:
    return isinstance(run, Recipe) and (run.device == "cuda" or run.quantise != "none") and hardware().gpu is None


def plan_prompt(home: Homeroom, dataset: Dataset, recipe: PromptRecipe) -> Plan:
    """What a search for demonstrations at an endpoint will need; starts nothing."""
    from homeroom.app.prompt_job import demonstrations_and_items

    pool, items = demonstrations_and_items(dataset, recipe.task, recipe.items)
    planned = candidates(pool, recipe, "")
    asked = len(planned) * len(items)
    asks = [program.render(item.prompt) for _, program in planned for item in items]
    prompts = sum(map(characters_of, asks))
    most = sum(most_bytes(messages) + REQUEST_BYTES for messages in asks)
    replies = asked * recipe.generation.max_tokens
    tokens = prompts // CHARACTERS_A_TOKEN + replies
    endpoint = endpoint_of(home.settings, recipe.base)
    price, counted = price_at(home, endpoint, recipe.base.partition("/")[2]) if endpoint else (None, False)
    return Plan(
        method=recipe.method,
        examples=len(pool),
        trained_tokens=0,
        steps=len(planned),
        time_s=asked * SECONDS_A_REQUEST,
        memory_bytes=0,
        disk_bytes=1_000_000,
        warnings=(
            f"{asked} requests to {recipe.base}, about {tokens:,} tokens, at the endpoint's price",
            f"the time assumes {SECONDS_A_REQUEST:g} s a request",
            *((f"no price is known for {recipe.base}: write one into prices.yaml in the home",) if counted and not price else ()),
        ),
        cost_usd=round(price.of(prompts // CHARACTERS_A_TOKEN, replies // 2), 6) if price else 0.0,
        cost_high_usd=round(price.of(most, replies), 6) if price else 0.0,
        details={"requests": asked, "tokens": tokens, "counted": counted, "priced": not counted or price is not None},
    )


def prompt_recipe(recipe: Recipe) -> PromptRecipe:
    """What stands in for a run on weights where the base is at an endpoint: a search for the prompt.

    Raises:
        ConfigError: ``recipe-task``: one prompt cannot play both parts; ``recipe-method``: weights were asked for by name, and
            who did so may have meant that no example leaves this machine.
    """
    if names_method(recipe):
        raise ConfigError(
            f"The method {recipe.method!r} trains weights on this machine, and those of {recipe.base!r} are at an endpoint. "
            "Leave the base out and train one that is here: homeroom tune run --method huggingface; or let the endpoint see the "
            f"examples: homeroom tune run --base {recipe.base} tunes its prompt, with --method openai its weights",
            code="recipe-method",
        )
    if recipe.task == "any":
        raise ConfigError(
            f"{recipe.base!r} is at an endpoint, where the prompt is tuned, and one prompt cannot play both parts. Choose one: "
            "--task tutor or --task learner",
            code="recipe-task",
        )
    return PromptRecipe.of(recipe, recipe.task)


def names_method(recipe: Recipe) -> bool:
    """Whether a run says itself that it trains weights here, by ``method``: then nothing else stands in for that."""
    return "method" in recipe.model_fields_set


def submit_tuning(
    home: Homeroom, dataset: str, recipe: Run, *, again: bool = False, when: When = NOW, remakes: bool = True
) -> Job:
    """Queue a run. The same dataset, recipe and base give the same job, unless ``again`` or what it made was deleted.

    Args:
        home: The open home.
        dataset: Id, name or name@version.
        recipe: What is run.
        again: Make it although it was made before.
        when: When the job may run.
        remakes: Whether a model of weights or a prompt at an endpoint that was deleted is made again.

    Raises:
        NotFoundError: no such dataset, or the base model is not on this machine.
        DataError: nothing to train on.
    """
    found = home.datasets.get(dataset)
    if isinstance(recipe, DspyRecipe):
        from homeroom.app.dspy_plan import submit_program

        return submit_program(home, found, recipe, again=again, when=when)
    if isinstance(recipe, OpenAIRecipe):
        from homeroom.app.openai_plan import submit_remote

        return submit_remote(home, found, recipe, again=again, when=when)
    training_data(found, recipe)
    about = _payload(home, found, recipe)
    key = key_of({**about, "again": secrets.token_hex(8)} if again else about)
    remote = endpoint_of(home.settings, recipe.base) is not None
    resource = "api" if remote else "gpu" if on_gpu(recipe) else "cpu"
    return submit_once(home, "tune", about, key, resource=resource, when=when, remakes=remakes)


def _payload(home: Homeroom, dataset: Dataset, recipe: Recipe) -> Json:
    endpoint = endpoint_of(home.settings, recipe.base)
    if endpoint is None:
        base = base_here(home, recipe.base)
        run, identity = recipe.model_copy(update={"base": base.name}).to_dict(), base.identity
    else:
        run, identity = prompt_recipe(recipe).to_dict(), endpoint_identity(endpoint, recipe.base)
    return {"kind": "tune", "dataset": dataset.info.id, "recipe": run, "base_identity": identity}


def job_of(home: Homeroom, dataset: Dataset, recipe: Run, *, remakes: bool = True) -> Job | None:
    """The job that made this very run or has it under way; None where to ask for the run would begin something.

    A job that failed or was cancelled is none: to go on with it spends anew. Nor is one whose models were deleted, if the run
    ``remakes`` them.

    Raises:
        HomeroomError: what `submit_tuning` refuses of the recipe and its base.
    """
    payloads: Sequence[Json]
    if isinstance(recipe, DspyRecipe):
        from homeroom.app.dspy_plan import payload_of

        payloads = (payload_of(home, dataset, recipe),)
    elif isinstance(recipe, OpenAIRecipe):
        from homeroom.app.openai_plan import payloads_of

        payloads = payloads_of(home, dataset, recipe)
    else:
        payloads = (_payload(home, dataset, recipe),)
    return standing_job(home, "tune", payloads, remakes=remakes)


def standing_job(home: Homeroom, kind: str, payloads: Sequence[Json], *, remakes: bool = True) -> Job | None:
    """A job with one of the payloads that is under way, or succeeded; with what it made still there, unless not ``remakes``."""
    for job in home.jobs.list(kind=kind, limit=MOST_JOBS):
        if job.payload in payloads and job.state not in ("failed", "cancelled") and not (remakes and is_gone(home, job)):
            return job
    return None


def on_gpu(recipe: Recipe) -> bool:
    """Whether the run takes a GPU."""
    return recipe.device == "cuda" or (recipe.device == "auto" and hardware().gpu is not None)
