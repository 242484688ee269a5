"""What a request must pass, for every address of the application: a route that is missing here fails."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

import homeroom.server
from homeroom.server import policy
from homeroom.server.app import MAX_REQUEST_BYTES
from homeroom.server.secret import secret_key

# Each address with whose rows are behind it. A conversation that does not exist yet belongs to nobody.
ROUTES = {route: "owner" if policy.rows in ("own", "project") else "all" for route, policy in policy.ROUTES.items()}


@pytest.fixture
def things_of_ana(site, ana) -> dict[str, str]:
    """Ids of everything that Ana owns."""
    begin = dict(ana.stream("/chat/turns", {"text": "Hello"}))["begin"]
    comparison = ana.stream("/compare", {"text": "Hello", "models": ["base", site.desk.models.list()[1].name]})
    session = ana.post("/practice", data={"scenario": "learner-005"}).headers["Location"].rsplit("/", 1)[-1]
    ana.stream(f"/practice/{session}/turns", {"text": "Why?"})
    line = json.dumps({"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]})
    lines = "".join(line.replace("?", f"What is {n}?") + "\n" for n in range(12)).encode()
    upload = {"purpose": "fine-tune", "file": (io.BytesIO(lines), "train.jsonl")}
    file_id = ana.flask.post("/v1/files", data=upload, headers=ana.who).get_json()["id"]
    order = {"model": "gpt-4o-mini", "training_file": file_id}
    job = ana.flask.post("/v1/fine_tuning/jobs", json=order, headers=ana.who).get_json()
    return {
        "file_id": file_id,
        "job_id": job["id"],
        "conversation_id": begin["conversation"],
        "turn_id": begin["reply"],
        "reply_id": begin["reply"],
        "session_id": session,
        "comparison": dict(comparison)["begin"]["url"].rsplit("/", 1)[-1],
        "answer": dict(comparison)["begin"]["replies"][0],
    }


def fill(rule: str, ids: dict[str, str]) -> str:
    if rule.startswith("/compare/"):
        ids = {**ids, "conversation_id": ids["comparison"], "turn_id": ids["answer"]}
    return re.sub(r"<(\w+)>", lambda found: ids[found.group(1)], rule)


def test_nobody_reaches_anothers_rows_by_id(site, things_of_ana) -> None:
    ben = site.client("ben")
    body = {"text": "mine now", "thumb": "up", "consent": "granted", "title": "mine"}
    for route in (route for route, who in ROUTES.items() if who == "owner" and "<" in route):
        method, rule = route.split(" ")
        url = fill(rule, things_of_ana)
        if rule.startswith("/v1/"):
            response = ben.flask.open(url, method=method, headers=ben.who)
        elif method == "GET":
            response = ben.get(url)
        elif rule.endswith(("/turns", "/again", "/stop")):
            response = ben.post(url, json=body)
        else:
            response = ben.post(url, data=body)
        assert response.status_code == 404, route
    ana = site.client("ana")
    assert "mine now" not in ana.get(f"/chat/{things_of_ana['conversation_id']}").get_data(as_text=True)
    assert ana.get(f"/practice/{things_of_ana['session_id']}").status_code == 200  # neither ended nor deleted
    assert ana.flask.get(f"/v1/files/{things_of_ana['file_id']}", headers=ana.who).status_code == 200
    job = ana.flask.get(f"/v1/fine_tuning/jobs/{things_of_ana['job_id']}", headers=ana.who).get_json()
    assert job["status"] in ("queued", "validating_files")  # neither cancelled nor paused


def test_lists_show_only_ones_own(site, things_of_ana) -> None:
    ben, ana = site.client("ben"), site.client("ana")
    for url in ("/", "/chat", "/chat/sidebar", "/compare"):
        assert not any(thing in ben.get(url).get_data(as_text=True) for thing in things_of_ana.values())
        assert any(thing in ana.get(url).get_data(as_text=True) for thing in things_of_ana.values())


def test_no_change_without_the_pages_token(site, things_of_ana) -> None:
    client = site.app.test_client()
    client.get("/")
    before = site.desk.models.version(), site.client("ana").get("/chat/sidebar").data
    for route in (route for route in ROUTES if route.startswith("POST ") and "/v1/" not in route):
        url = fill(route.split(" ")[1], things_of_ana)
        for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "wrong"}):
            for sent in ({"json": {"text": "x"}}, {"data": {"title": "x"}}):
                response = client.post(url, headers=headers, **sent)
                assert response.status_code == 400, route
                assert b"Load it again" in response.data
    assert (site.desk.models.version(), site.client("ana").get("/chat/sidebar").data) == before


def test_a_form_may_carry_the_token_as_a_field(ana) -> None:
    response = ana.flask.post("/practice", data={"scenario": "learner-005", "csrf_token": ana.token}, headers=ana.who)
    assert response.status_code == 303


def test_pages_of_other_sites_cannot_post(ana) -> None:
    foreign = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "https://localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ]
    for headers in foreign:
        for url in ("/practice", "/chat/turns", "/v1/chat/completions"):
            assert ana.post(url, json={"text": "x"}, headers=headers).status_code == 403


def test_our_own_origin_may(ana) -> None:
    response = ana.post(
        "/practice", data={"scenario": "learner-005"}, headers={"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    )
    assert response.status_code == 303


def test_the_api_takes_no_forms(site) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None):
        response = site.app.test_client().post("/v1/chat/completions", data=b'{"model":"base"}', content_type=content_type)
        assert response.status_code == 415
        assert response.get_json()["error"]["code"] == "media_type"


def test_only_our_host_names_are_answered(site) -> None:
    client = site.app.test_client()
    for url in ("/", "/health", "/v1/models", "/static/homeroom.css"):
        for host in ("evil.example", "evil.example:8642", "127.0.0.1.evil.example", "", "192.168.0.9:8642", "[::2]"):
            assert client.get(url, headers={"Host": host}).status_code == 403
    for host in ("127.0.0.1:8642", "localhost", "localhost:1", "[::1]:8642", "LOCALHOST"):
        assert client.get("/health", headers={"Host": host}).status_code == 200


def test_a_further_host_can_be_allowed(make_site) -> None:
    app = make_site(hosts=["homeroom.school"]).app
    assert app.test_client().get("/health", headers={"Host": "homeroom.school"}).status_code == 200


def test_every_answer_carries_the_headers(site) -> None:
    for url in ("/", "/chat", "/v1/models", "/health", "/nope", "/static/homeroom.css", "/models/report?key=report-1"):
        headers = site.app.test_client().get(url, buffered=True).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-eval" not in policy
        assert "script-src 'unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers


def test_pages_hold_no_inline_script_or_style_and_name_no_other_host(site, ana, things_of_ana) -> None:
    chat, session = things_of_ana["conversation_id"], things_of_ana["session_id"]
    for url in ("/", "/chat", f"/chat/{chat}", "/compare", "/models", "/jobs", f"/practice/{session}"):
        page = ana.get(url).get_data(as_text=True)
        assert not re.search(r"<script(?![^>]*\bsrc=)", page)
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page)


def test_the_session_cookie_is_strict(site) -> None:
    cookie = site.app.test_client().get("/").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_a_request_too_large_is_refused(site, ana) -> None:
    big = "x" * (MAX_REQUEST_BYTES + 1)
    response = ana.post("/chat/turns", json={"text": big})
    assert response.status_code == 413
    api = site.app.test_client().post(
        "/v1/chat/completions", json={"model": "base", "messages": [{"role": "user", "content": big}]}
    )
    assert (api.status_code, api.get_json()["error"]["type"]) == (413, "invalid_request_error")


def test_what_people_and_models_write_is_escaped(site, ana) -> None:
    site.desk.models.chat_model("base")._reply = lambda m: "<img src=x onerror=alert(1)>"
    events = dict(ana.stream("/chat/turns", {"text": "<script>alert(1)</script>", "model": "base"}))
    for html in (events["begin"]["html"], events["done"]["html"], ana.get(events["begin"]["url"]).get_data(as_text=True)):
        assert "<script>alert" not in html
        assert "<img" not in html


def test_the_secret_key_is_private_and_stays(tmp_path: Path) -> None:
    key = secret_key(tmp_path / "home")
    assert len(key) == 32
    assert secret_key(tmp_path / "home") == key
    assert (tmp_path / "home" / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["secret.key"]


def test_a_damaged_secret_key_says_what_to_do(tmp_path: Path) -> None:
    from homeroom.errors import StorageError

    (tmp_path / "secret.key").write_bytes(b"short")
    with pytest.raises(StorageError, match="Delete it") as caught:
        secret_key(tmp_path)
    assert caught.value.code == "secret-key"


def test_vendored_files_are_what_their_list_says() -> None:
    import hashlib

    vendor = Path(homeroom.server.__file__).parent / "static" / "vendor"
    listed = dict(
        re.findall(r"^\| (\S+\.(?:js|css|woff2)) \| ([0-9a-f]{64}) \|$", (vendor / "VENDORED.md").read_text(), re.MULTILINE)
    )
    found = {
        str(p.relative_to(vendor)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in vendor.rglob("*")
        if p.suffix in {".js", ".css", ".woff2"}
    }
    assert listed == found
    for name in ("htmx", "alpine-csp", "dompurify", "marked", "katex/", "fonts/figtree", "fonts/fraunces"):
        assert list(vendor.glob(f"{name}*LICENSE.txt")), name
