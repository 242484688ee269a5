"""Every model of a home as a `dspy.LM`, and our tuners behind its ``finetune``: DSPy's own optimisers run here, offline.

lm = homeroom.homeroom_lm(home, "smollm2-135m-instruct")
program.set_lm(lm)
tuned = dspy.BootstrapFinetune(metric=metric).compile(program, trainset=examples)
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from homeroom.app.directory import HomeDirectory
from homeroom.app.endpoints import endpoint_of
from homeroom.app.engines import engine, server_runs
from homeroom.app.holding import HeldModel, paid
from homeroom.app.openai_left import cancel_job
from homeroom.app.spending import Asked, answering, quotes_of, require_amount
from homeroom.app.talk import running_directory
from homeroom.app.tuning import submit_tuning
from homeroom.app.work import wait_for
from homeroom.errors import ConfigError
from homeroom.ledger.purse import Purse
from homeroom.schema.chat import ChatModel
from homeroom.schema.examples import Example
from homeroom.schema.jobs import Job
from homeroom.tuning.dspy.packages import require_dspy
from homeroom.tuning.recipe import DataSelection, Recipe
from homeroom.tuning.recipe_file import Run, parse_recipe

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

DATASET = "dspy"
SPEND = "homeroom_lm(..., spend=5.0), or spend=math.inf for whatever it costs"
"""How a program agrees to replies and trainings that cost money."""
RECIPE = Recipe(name="dspy", task="any", data=DataSelection(max_sequence_tokens=1024))
"""How weights are trained where nothing else is said: conversations of DSPy's carry long prompts."""


def homeroom_lm(
    home: Homeroom,
    model: str,
    *,
    recipe: Run = RECIPE,
    temperature: float = 0.0,
    max_tokens: int = 256,
    seed: int | None = None,
    spend: float = 0.0,
) -> Any:  # a dspy.LM, which is untyped
    """A language model of DSPy's that a model of this home answers as, and that can be fine-tuned.

    ``finetune`` stores DSPy's conversations as a dataset version, queues an ordinary tuning job, waits for it, and gives a
    language model that answers with the model that the job registered. The same conversations and recipe are the same job:
    nothing is trained twice. ``train_kwargs`` are keys of the recipe. ``lm.kill()`` ends the engine that the first
    question starts.

    Args:
        home: The open home. Keep it open for as long as the language model is used.
        model: A base, a tuned model, or ``ENDPOINT/MODEL``.
        recipe: How weights are trained; its ``base`` is not used.
        temperature: Of replies.
        max_tokens: Of a reply.
        seed: The same seed, the same reply.
        spend: The most that its replies and trainings at endpoints may cost in all, in US dollars; ``math.inf`` is whatever they
            cost. What could cost more than is left of it ends with ``needs-yes`` before anything is sent.

    Raises:
        MissingExtraError: DSPy is not installed.
        NotFoundError: there is no such model.
        ConfigError: ``usd-invalid``.
    """
    require_dspy(caches=True)  # another program's: its caches are left as they are
    from homeroom.tuning.dspy.library import language_model
    from homeroom.tuning.dspy.provider import HomeroomProvider

    models = HomeModels(home, recipe, spend)
    name = models.name_of(model)
    more = {} if seed is None else {"seed": seed}
    return language_model(models, name, temperature, max_tokens, HomeroomProvider(models), **more)


class HomeModels:
    """Answers DSPy as any model of a home, and trains. Implements DSPy's engine and the provider's ``Trains``. Thread-safe.

    Args:
        home: The open home.
        recipe: How weights are trained.
        spend: US dollars that replies and trainings may cost in all.
    """

    def __init__(self, home: Homeroom, recipe: Run, spend: float = 0.0) -> None:
        require_amount(spend)
        self._home, self._recipe, self._purse = home, recipe, Purse(spend)
        self._directories: dict[str, HomeDirectory] = {}
        self._open = ExitStack()
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: object) -> HomeModels:
        return self

    def name_of(self, reference: str) -> str:
        """The full name of a base, a model at an endpoint, or a tuned model.

        Raises:
            NotFoundError: there is none.
        """
        if endpoint_of(self._home.settings, reference) is not None:
            return reference
        with closing(running_directory(self._home)) as models:
            if any(card.name == reference for card in models.list()):
                return reference
        return self._home.registry.resolve(reference)

    def complete(self, request: Any) -> Any:  # DSPy's values are untyped
        """One reply, as DSPy's engines give it."""
        from homeroom.tuning.dspy.library import messages_of, response_of, settings_of
        from homeroom.tuning.dspy.provider import PREFIX

        model = self._chat_model(request.model.removeprefix(PREFIX))
        reply = model.complete(messages_of(request), settings_of(request))
        # DSPy raises where a reply is empty; where it gathers what to train on, it takes that for a good one and falls over it.
        return response_of(request.model, replace(reply, text=reply.text or " "))

    def stream(self, request: Any) -> Any:
        """The same as events; nothing here streams."""
        from dspy import lm15

        return iter(lm15.response_to_events(self.complete(request)))

    def close(self) -> None:
        """As `pause`."""
        self.pause()

    def _chat_model(self, name: str) -> ChatModel:
        home = self._home
        tuned = home.registry.get(name) if name.startswith("ft:") else None
        base = tuned.base if tuned else name
        elsewhere = endpoint_of(home.settings, base) is not None or (tuned is not None and tuned.kind == "remote")
        with self._lock:
            key = "" if elsewhere or server_runs(home) else base
            if key not in self._directories:
                self._directories[key] = self._opened(key, name)
            model = self._directories[key].chat_model(name)
        asked = answering(home, tuned) if tuned else [Asked(name)]
        return HeldModel(home, name, asked, model, self._purse, SPEND) if elsewhere else model

    def _opened(self, base: str, name: str) -> HomeDirectory:
        if not base:
            return self._open.enter_context(closing(running_directory(self._home, purse=self._purse)))
        resolve = self._open.enter_context(engine(self._home, self._home.base_files(base), batch=True, wanted=(name,)))
        return self._open.enter_context(closing(HomeDirectory(self._home.with_base(base), resolve)))

    def pause(self) -> None:
        """End the engines; the next question starts one again."""
        with self._lock:
            opened, self._open = self._open, ExitStack()
            self._directories = {}
        opened.close()

    def begin(self, model: str, examples: Sequence[Example], options: Mapping[str, Any]) -> JobTraining:
        """Store the conversations and queue a tuning job.

        Raises:
            DataError: ``finetune-data``.
            ConfigError: ``recipe-invalid``: an option is no key of the recipe; ``search-weights``; ``needs-yes``: it could cost
                more than is left of what was agreed to; ``key-not-set``.
        """
        from homeroom.tuning.dspy.provider import none_good

        if not examples:
            raise none_good()
        recipe = self._trained_by(model, options)
        task = recipe.task if recipe.task in ("tutor", "learner") else None
        own = [Example(e.messages, {**e.metadata, "task": task}) if task else e for e in examples]
        dataset = self._home.datasets.create(DATASET, own, assigned={e.id: "train" for e in own}, note="Conversations of DSPy's.")
        with self._lock:  # of two that are the same training the second one finds the job, and pays nothing
            quotes = quotes_of(self._home, dataset.info.id, [(recipe.name, recipe)])  # none for what is made already
            with paid(self._purse, quotes, SPEND):
                job = submit_tuning(self._home, dataset.info.id, recipe)
        return JobTraining(self, self._home, job)

    def _trained_by(self, model: str, options: Mapping[str, Any]) -> Run:
        if model.startswith("ft:"):
            model = self._home.registry.get(model).base
        keys = {**self._recipe.to_dict(), **options, "base": model}
        if self._recipe.method == "huggingface" and endpoint_of(self._home.settings, model) is not None:
            raise ConfigError(
                f"The weights of {model!r} are at an endpoint, and the recipe {self._recipe.name!r} trains those of this "
                "machine. Choose a base of this machine: homeroom models list --bases",
                code="search-weights",
            )
        if isinstance(self._recipe, Recipe):
            return parse_recipe(keys, "train_kwargs")
        try:
            return type(self._recipe).model_validate(keys)
        except ValidationError as error:
            raise ConfigError(
                f"train_kwargs are no keys of a recipe of the method {self._recipe.method!r}: {error}. Try them in a file: "
                "homeroom tune plan --recipe FILE",
                code="recipe-invalid",
            ) from error


class JobTraining:
    """A tuning job as DSPy's provider has it. Implements ``Training``.

    Args:
        models: What answers: its engine is ended, so that the next one holds the new model.
        home: The open home.
        job: The job.
    """

    def __init__(self, models: HomeModels, home: Homeroom, job: Job) -> None:
        self._models, self._home = models, home
        self.job_id = job.id

    def result(self) -> str:
        """Run the job, unless another worker does: the name of the model that it registered.

        Raises:
            JobFailed: it failed, or was cancelled.
        """
        job = wait_for(self._home, self.job_id)
        self._models.pause()
        return str((job.result or {})["model"])

    def state(self) -> str:
        """Of the job."""
        return self._home.jobs.get(self.job_id).state

    def cancel(self) -> None:
        """Ask the job to stop; what it has saved is kept, and the same training again goes on there."""
        cancel_job(self._home, self.job_id)
