"""Whether an endpoint lets us tune a model, asked before anything is uploaded; its refusals in words; and what ends soon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

from homeroom.errors import AuthError, ProviderError
from homeroom.models.openai_tuning import OpenAITuning

Json = dict[str, Any]  # of the provider's making
NO_FILE = "file-homeroom-asks-whether-it-may-tune"
"""Names no file: the job that asks for it cannot be created, and the refusal says whether another could."""

SOON_DAYS = 120
LOCAL = "Tune on this machine instead: homeroom tune run --method huggingface"

During = Literal["probe", "upload", "create"]
"""What was refused: the question whether we may at all, a file, a job."""


def probe(service: OpenAITuning, model: str, settings: Json, key: str) -> None:
    """Ask whether ``model`` may be tuned here with these settings of the API's. Creates nothing, sends no example.

    Raises:
        AuthError: ``provider-auth``; ``fine-tuning-closed``: the organisation may not create jobs.
        ProviderError: ``fine-tuning-missing``, ``fine-tuning-base``; or it did not answer.
    """
    try:
        service.reach()
    except ProviderError as error:
        raise explained(error, service.where, model) from error
    try:
        made = service.create({"model": model, "training_file": NO_FILE, **settings}, f"{key}-probe")
    except ProviderError as error:
        if error.status in (400, 404, 409, 422) and error.param not in ("model", "method", "method.type"):
            return  # it looked for the file: everything else was in order
        raise explained(error, service.where, model) from error
    service.cancel(str(made["id"]))  # an endpoint that looks for its file later: such a job fails by itself


def explained(error: ProviderError, where: str, model: str, during: During = "probe") -> ProviderError:
    """A refusal of the fine-tuning API, with what can be done about it; what is no refusal stays as it is."""
    if isinstance(error, AuthError) and error.status == 403 and during == "upload":
        return AuthError(
            f"{where} let this account ask for fine-tuning, and takes no files from it: {said(error)} Give its key the right to "
            f"write files, in the provider's own pages, and go on with: homeroom tune resume. {LOCAL}",
            code="provider-auth",
            status=403,
        )
    if isinstance(error, AuthError) and error.status == 403:
        sent = " Nothing was uploaded for it." if during == "probe" else ""
        return AuthError(
            f"{where} does not let this account create fine-tuning jobs: {said(error)}{sent} OpenAI closed"
            " fine-tuning in 2026 to organisations that had not used it lately, and closes it to everybody on 2027-01-06."
            f" {LOCAL}; or with the same API, by this machine's own server: homeroom tune run --method openai --base BASE-HERE",
            code="fine-tuning-closed",
            status=403,
        )
    if error.param == "model":
        return ProviderError(
            f"{where} cannot tune {model!r}: {said(error)} Name a model of its that can be tuned with --base. {LOCAL}",
            code="fine-tuning-base",
            status=error.status,
        )
    if error.param in ("training_file", "validation_file"):
        return ProviderError(
            f"{where} refused the {error.param.replace('_', ' ')}: {said(error)} Look at the data: homeroom data check FILE",
            code="fine-tuning-file",
            status=error.status,
        )
    if error.status in (404, 405, 501):
        return ProviderError(
            f"{where} has no fine-tuning API under its address: {said(error)} Check base_url in the settings (it ends in /v1),"
            f" or choose another endpoint with --base. {LOCAL}",
            code="fine-tuning-missing",
            status=error.status,
        )
    return error


def said(error: ProviderError) -> str:
    """What the endpoint said, out of our words around it."""
    _, bracket, rest = error.message.partition("(")
    return f"({rest.rpartition(')')[0]})." if bracket else error.message


def ends(models: Sequence[Json], name: str, known: Mapping[str, str]) -> str:
    """The day on which a model ends: what the endpoint announces, else what is known from elsewhere; empty when neither is."""
    listed = next((model for model in models if model.get("id") == name), {})
    told = str(listed.get("shutdown_date") or "")[:10]
    return told if _day(told) else next((known[key] for key in known if name == key or name.startswith(f"{key}-20")), "")


def ending(name: str, day: str, today: date) -> str:
    """A warning that a model ends soon; empty while it is far away."""
    until = _day(day)
    if until is None or (left := (until - today).days) > SOON_DAYS:
        return ""
    when = f"ended on {day}" if left < 0 else f"ends on {day}, in {left} days"
    return f"{name!r} {when}, and with it every model that was tuned from it. {LOCAL}"


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
