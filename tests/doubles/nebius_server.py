"""Nebius Token Factory's fine-tuning and custom models, as its public reference has them: nothing here was compared with the service.

A job takes `hyperparameters` of its own and no metadata, names no model, and leaves checkpoints. A checkpoint is deployed under
`/v0/models`, where the name gets the vendor, the base and four letters more, and is `validating` before it is `active`.

https://docs.tokenfactory.nebius.com/api-reference/models/create-a-custom-model
"""

from __future__ import annotations

import json
from typing import Any

from tests.doubles.tuning_server import Json, TuningDouble, _error

BASE = "meta-llama/Meta-Llama-3.1-8B-Instruct"
FIELDS = {"model", "training_file", "validation_file", "hyperparameters", "method", "integrations", "seed", "suffix", "tags"}
KNOBS = {"batch_size", "learning_rate", "n_epochs", "warmup_ratio", "weight_decay", "packing", "max_grad_norm", "context_length"}
KNOBS |= {"lora", "lora_r", "lora_alpha", "lora_dropout"}


class NebiusDouble(TuningDouble):
    """Start it with ``with``.

    Attributes:
        deployments: What was deployed, by its whole name.
        checking: What a deployment's polls show, one after the other; the last one stays.
        bare: Whether the list of deployments is a bare array, as the reference says, or an object's ``data``.
        tells_source: Whether a listed deployment says which checkpoint it is of.
        whole_names: Whether a deployment has an address of its own.
        hidden: So many lists do not show the newest deployment yet.
        oldest_first: Lists jobs and events oldest first; the reference does not say.
    """

    def __init__(self) -> None:
        super().__init__((BASE,))
        self.deployments: dict[str, Json] = {}
        self.checking: tuple[str, ...] = ("validating", "validating", "active")
        self.why = ""
        self.bare = self.tells_source = self.whole_names = True
        self.oldest_first = False
        self.hidden = 0

    @property
    def standing(self) -> list[str]:
        """Names of what answers, or will."""
        return [name for name, one in self.deployments.items() if one["status"] in ("validating", "active")]

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], body: bytes, content_type: str
    ) -> tuple[int, Json | bytes]:
        """Do what is asked."""
        if path == "/v0/models":
            with self.lock:
                return self._deploy(json.loads(body)) if method == "POST" else self._all()
        if path.startswith("/v0/models/"):
            with self.lock:
                return self._one(method, path.removeprefix("/v0/models/"))
        if path == "/v1/chat/completions":
            name = json.loads(body)["model"]
            if self.deployments.get(name, {}).get("status") != "active":
                return _error(404, f"The model {name} does not exist")
        return super().answer(method, path, query, body, content_type)

    def _create(self, body: Json) -> tuple[int, Json]:
        knobs = body.get("hyperparameters") or {}
        if odd := [*(set(body) - FIELDS), *(set(knobs) - KNOBS)]:
            return _error(422, f"extra fields: {odd}", odd[0])
        return super()._create(body)

    def _succeed(self, job: Json) -> None:
        job["trained_tokens"] = 1000 * job["hyperparameters"]["n_epochs"]
        job["result_files"] = ["file-weights"]

    def _go_on(self, job: Json) -> None:
        super()._go_on(job)
        for number, event in enumerate(self.events[job["id"]]):
            event.update(created_at=1000 + number, data=None)
        job.update(trained_steps=job["polls"], total_steps=len(self.script))

    def _shown(self, job: Json) -> Json:
        return {key: value for key, value in super()._shown(job).items() if key not in ("fine_tuned_model", "metadata")}

    def _listed(self) -> list[Json]:
        rows = super()._listed()
        return rows[::-1] if self.oldest_first else rows

    def _page(self, rows: list[Json], query: dict[str, list[str]]) -> Json:
        events = bool(rows) and str(rows[0].get("id")).startswith("ftevent")
        return super()._page(rows[::-1] if events and self.oldest_first else rows, query)

    def _checkpoints(self, job: Json) -> list[Json]:
        if job["status"] != "succeeded":
            return []
        return [
            {"id": f"ftckpt_{job['id']}_{n}", "step_number": n, "fine_tuned_model_checkpoint": "", "fine_tuning_job_id": job["id"],
             "metrics": {"train_loss": loss, "valid_loss": loss, "full_valid_loss": None}, "result_files": [f"file-weights-{n}"]}
            for n, loss in enumerate(self.losses_of(job), 1)
        ]  # fmt: skip

    def _deploy(self, body: Json) -> tuple[int, Json]:
        job, _, checkpoint = body["source"].partition(":")
        if checkpoint not in [row["id"] for row in self._checkpoints(self.jobs.get(job, {"status": ""}))]:
            return _error(400, f"no checkpoint {body['source']}", "source")
        if not self.jobs[job]["hyperparameters"].get("lora"):
            return _error(400, "only LoRA adapters can be deployed", "source")
        name = f"{body['base_model']}-LoRa:{body['name']}-{len(self.deployments):04d}"
        self.deployments[name] = {**body, "name": name, "created_at": 1, "polls": 0, "status": self.checking[0]}
        return 200, {**body, "name": name, "created_at": 1, "status": self.checking[0]}

    def _all(self) -> tuple[int, Any]:
        rows = [self._told(one) for one in self.deployments.values() if one["status"] != "deleted"]
        if self.hidden and rows:
            self.hidden -= 1
            rows.pop()
        return 200, json.dumps(rows).encode() if self.bare else {"data": rows}

    def _one(self, method: str, name: str) -> tuple[int, Json]:
        one = self.deployments.get(name)
        if one is None or one["status"] == "deleted" or (method == "GET" and not self.whole_names):
            return _error(404, f"no model {name}")
        if method == "DELETE":
            one["status"] = "deleted"
            return 200, {"name": name, "status": "deleted"}
        return 200, self._told(one)

    def _told(self, one: Json) -> Json:
        """As it is now; looking at it lets time pass."""
        if one["status"] not in ("active", "error"):
            one["polls"] += 1
            one["status"] = self.checking[min(one["polls"], len(self.checking) - 1)]
        job, _, checkpoint = one["source"].partition(":")
        told = {"name": one["name"], "type": "text2text", "status": one["status"], "status_reason": self.why or None}
        return {**told, "job_id": job, "checkpoint_id": checkpoint} if self.tells_source else told
