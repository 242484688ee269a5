"""What a run leaves at its endpoint when it is given up: jobs are told to end and settled, uploaded files are deleted."""

from __future__ import annotations

import time
from collections.abc import Callable

from homeroom.errors import ProviderError, ProviderTimeoutError
from homeroom.models.openai_tuning import OpenAITuning
from homeroom.schema.jobs import Reporter
from homeroom.tuning.openai.purse import Purse
from homeroom.tuning.openai.state import FINAL, Rung, RunState

AGAIN_S = 60.0
"""What is not found is looked for again after so long before it is taken for gone."""


def end_jobs(
    service: OpenAITuning,
    state: RunState,
    purse: Purse,
    reporter: Reporter,
    *,
    wait_s: float,
    look_s: float,
    find: Callable[[Rung], bool] | None = None,
    clock: Callable[[], float] = time.time,
) -> ProviderError | None:
    """Have the jobs that are not over end at the endpoint, and settle what they cost. Why one could not, if so.

    Args:
        service: The endpoint.
        state: What the run has done.
        purse: Its money.
        reporter: Told what could not be ended.
        wait_s: How long the end of each is waited for.
        look_s: Between two looks.
        find: Looks for a job that was asked for and never confirmed. One that is not found does not exist, if it is not found
            again when a while has passed. Without it such a job is left as it is.
        clock: Unix time.
    """
    failure: ProviderError | None = None
    purse.release_unasked(state)
    for rung in state.rungs:
        if not rung.open or not (rung.job or find is not None):
            continue
        try:
            if rung.job or (find is not None and find(rung)):
                _end(service, rung, wait_s, look_s, clock())
                purse.settle(rung, rung.done)
            else:
                _missed(service, rung, clock())
                rung.asked = False
                purse.release(rung)
        except ProviderError as error:
            failure = error
            which = rung.job or "that was asked for"
            reporter.event(
                f"The job {which} could not be told to end ({error.message}) It may go on there and be charged: what is held for"
                " it stays held. See: homeroom costs held",
                level="warning",
            )
        state.save()
    return failure


def _missed(service: OpenAITuning, rung: Rung, now: float) -> None:
    """Note that a job is not found; return where it was not found a while ago either.

    Raises:
        ProviderError: ``fine-tuning-unlisted``: it is the first time, or too soon after it.
    """
    rung.missed_at = rung.missed_at or now
    if now - rung.missed_at < AGAIN_S:
        raise ProviderError(
            f"{service.where} does not list it, which it may do later: it is looked for again. When it is not there after "
            f"{AGAIN_S:.0f} s either, what is held for it is given back.",
            code="fine-tuning-unlisted",
        )


def _end(service: OpenAITuning, rung: Rung, wait_s: float, look_s: float, now: float) -> None:
    """Cancel a job and wait until it is over.

    Raises:
        ProviderError: or one of its subclasses; ``provider-timeout``: it goes on; ``fine-tuning-unlisted``: it is not found, and
            may be later.
    """
    try:
        service.cancel(rung.job)
        deadline = time.monotonic() + wait_s
        while (job := service.job(rung.job))["status"] not in FINAL:
            if time.monotonic() >= deadline:
                raise ProviderTimeoutError(f"{service.where} was told to end it, and {wait_s:.0f} s later it had not.")
            time.sleep(look_s)
    except ProviderError as error:
        if error.status != 404:
            raise
        _missed(service, rung, now)
        rung.vanish()
        return
    rung.outcome = job


def tell_deployed(state: RunState, endpoint: str, reporter: Reporter) -> None:
    """Say what a run that is given up has deployed: it stays there, and costs by the token only."""
    for one in state.deployed:
        if one.asked or one.model:
            name = one.model or f"a model named like {one.name}"
            reporter.event(
                f"At {endpoint!r} {name} stays deployed; it costs nothing while nobody asks it. The same command takes it up, or "
                "delete it in the provider's own pages",
                level="warning",
            )


def delete_files(
    service: OpenAITuning,
    state: RunState,
    endpoint: str,
    reporter: Reporter,
    *,
    clock: Callable[[], float] = time.time,
) -> tuple[int, ProviderError | None]:
    """Delete what was uploaded, also what arrived unnoticed or in part: it is found by its name.

    Args:
        service: The endpoint.
        state: What the run has done.
        endpoint: Its name.
        reporter: Told what was deleted, and what could not be.
        clock: Unix time.

    Returns:
        How many files were deleted, and why something could not be, if so: the others are deleted.
    """
    failure = _find_files(service, state, clock())
    if failure is not None:
        reporter.event(f"Whether more of this run lies at {endpoint} is not known: {failure.message}", level="warning")
    deleted = 0
    for file_id in tuple(state.files):
        try:
            service.delete_file(file_id)
        except ProviderError as error:
            failure = error
            reporter.event(f"The file {file_id} could not be deleted: {error.message}", level="warning")
            continue
        deleted += 1
        state.files.remove(file_id)
        for one in state.uploads:  # those that are still to be looked for: another copy may be there
            one.file = "" if one.file == file_id else one.file
        state.validation = state.validation if state.validation in state.files else ""
        state.save()
        reporter.event(f"Deleted {file_id} at {endpoint}.")
    return deleted, failure


def _find_files(service: OpenAITuning, state: RunState, now: float) -> ProviderError | None:
    """Learn which files of this run's names lie there. Why that is not known, if so: they are looked for again then."""
    if not state.uploads:
        return None
    try:
        listed = service.files_named([one.name for one in state.uploads])
    except ProviderError as error:
        return error
    state.files = [*dict.fromkeys((*state.files, *(file_id for file_id, _ in listed)))]
    seen = {name for _, name in listed}
    state.uploads = [one for one in state.uploads if not one.file and one.name not in seen and now - one.at < AGAIN_S]
    state.save()
    if not state.uploads:
        return None
    return ProviderError(
        f"{service.where} does not list {state.uploads[0].name}, whose arrival it never confirmed, and may do so later: it is "
        f"looked for again when {AGAIN_S:.0f} s have passed.",
        code="fine-tuning-unlisted",
    )
