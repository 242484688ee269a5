"""Numbers that JSON can write and no double holds: refused by every route, with the field's name, and never a failure of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.conftest import EMBEDDER, Site

BEYOND = ("1e999", "-1e999", "NaN", "Infinity", "-Infinity", "1" + "0" * 400, "-" + "9" * 9000)
LARGE = ("1" + "0" * 300, "1e300", "-1e300", str(2**64))  # a double holds these, and no field takes them
ASKS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "base", "messages": [{"role": "user", "content": "Half of 6?"}]},
    "/v1/completions": {"model": "base", "prompt": "Half of 6"},
    "/v1/responses": {"model": "base", "input": "Half of 6?"},
    "/v1/embeddings": {"model": EMBEDDER, "input": "Half of 6?"},
    "/v1/fine_tuning/jobs": {"model": "gpt-4o-mini", "training_file": "file-1"},
}
FIELDS = {
    "/v1/chat/completions": (
        "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "n", "top_logprobs", "presence_penalty",
        "frequency_penalty", "repeat_penalty",
    ),
    "/v1/completions": ("temperature", "max_tokens", "seed", "n", "best_of", "logprobs"),
    "/v1/responses": ("temperature", "top_p", "max_output_tokens"),
    "/v1/embeddings": ("dimensions",),
    "/v1/fine_tuning/jobs": ("seed",),
}  # fmt: skip
PLACES = [(route, name) for route, names in FIELDS.items() for name in names]


def refusal(site: Site, route: str, text: str) -> dict[str, Any]:
    """The error object of a request that is refused."""
    response = site.app.test_client().post(route, data=text, content_type="application/json")
    assert response.status_code == 400, response.get_data(as_text=True)[:500]
    error: dict[str, Any] = response.get_json()["error"]
    assert error["type"] == "invalid_request_error" and len(error["message"]) < 300
    return error


def written(body: object, number: str) -> str:
    """``body`` as JSON with ``number`` where it says "HERE"."""
    return json.dumps(body).replace('"HERE"', number)


@pytest.mark.parametrize(("route", "name"), PLACES)
def test_a_number_that_no_double_holds_is_refused_by_every_route(site: Site, route: str, name: str) -> None:
    for number in BEYOND:
        error = refusal(site, route, written({**ASKS[route], name: "HERE"}, number))
        assert (error["code"], error["param"]) == ("number_too_large", name), number


@pytest.mark.parametrize(("route", "name"), PLACES)
def test_a_number_beyond_a_field_is_refused_with_its_bounds(site: Site, route: str, name: str) -> None:
    for number in LARGE:
        error = refusal(site, route, written({**ASKS[route], name: "HERE"}, number))
        assert error["param"] == name and error["code"] != "number_too_large", number


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"hyperparameters": {"n_epochs": "HERE"}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"batch_size": "HERE"}}, "hyperparameters.batch_size"),
        ({"hyperparameters": {"learning_rate_multiplier": "HERE"}}, "hyperparameters.learning_rate_multiplier"),
        (
            {"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": "HERE"}}}},
            "method.dpo.hyperparameters.beta",
        ),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "x", "tags": ["HERE"]}}]}, "integrations[0].wandb.tags[0]"),
    ],
)
def test_the_place_inside_an_order_is_named(site: Site, part: dict[str, Any], param: str) -> None:
    route = "/v1/fine_tuning/jobs"
    for number in BEYOND:
        error = refusal(site, route, written({**ASKS[route], **part}, number))
        assert (error["code"], error["param"]) == ("number_too_large", param), number


@pytest.mark.parametrize("number", ["1e300", "-1e300", "1" + "0" * 300, "2.5", "true"])
def test_no_order_of_so_many_epochs(site: Site, number: str) -> None:
    ordered = {**ASKS["/v1/fine_tuning/jobs"], "hyperparameters": {"n_epochs": "HERE"}}
    assert refusal(site, "/v1/fine_tuning/jobs", written(ordered, number))["param"] == "hyperparameters.n_epochs"


def test_what_wandb_does_not_take_is_refused(site: Site) -> None:
    route = "/v1/fine_tuning/jobs"
    for entry, param in (
        ({"type": "wandb", "wandb": {"project": "x", "foo": 1}}, "integrations[0].wandb.foo"),
        ({"type": "wandb", "wandb": {"project": "x"}, "foo": 1}, "integrations[0].foo"),
    ):
        error = refusal(site, route, json.dumps({**ASKS[route], "integrations": [entry]}))
        assert (error["code"], error["param"]) == ("unknown_parameter", param)


def test_numbers_that_a_double_holds_stay_as_they_are(site: Site) -> None:
    """A schema may name the largest whole number of 64 bits."""
    schema = {"type": "integer", "maximum": 2**64 - 1, "minimum": -1e300}
    body = {**ASKS["/v1/chat/completions"], "seed": 2**63 - 1, "n": 2}
    response = site.app.test_client().post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.get_data(as_text=True)
    told = {"format": {"type": "json_schema", "name": "a", "schema": schema}}
    answer = site.app.test_client().post("/v1/responses", json={**ASKS["/v1/responses"], "text": told})
    shown = answer.get_json()
    assert answer.status_code == 200 and shown["text"]["format"]["schema"] == schema
