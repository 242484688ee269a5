"""Taking down at its endpoint what a run has deployed there, once the model is deleted here. A job of its own (kind ``tidy``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeroom.app.work import key_of, submit_once
from homeroom.schema.jobs import Job
from homeroom.schema.models import TunedModel
from homeroom.tuning.openai.outcome import DEPLOYED

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

KIND, WHAT = "tidy", "undeploy"


def submit_undeployment(home: Homeroom, model: TunedModel) -> Job | None:
    """Queue it; None where no run deployed the model, or another one here answers by the same name."""
    if DEPLOYED not in model.metrics or any(other.remote_id == model.remote_id for other in home.registry.list()):
        return None
    about = {"what": WHAT, "remote_id": model.remote_id, "source": model.metrics[DEPLOYED]}
    return submit_once(home, KIND, about, key_of({"kind": KIND, **about}), resource="api")
