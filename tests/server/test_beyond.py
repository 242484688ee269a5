"""A server that other machines reach: every address, method and kind of caller, and what signing in and out means."""

from __future__ import annotations

import io
import re
import time

import pytest

from homeroom.schema.jobs import Job
from homeroom.server.matrix import BEYOND, Credential, cells
from homeroom.server.policy import ROUTES
from homeroom.server.sign_in import ATTEMPTS_PER_MINUTE
from homeroom.storage import Database
from tests.server.beyond import NAME, Beyond, Visitor
from tests.server.test_matrix import Stage, body_of, furnished

pytestmark = pytest.mark.slow  # many processes, or much arithmetic


@pytest.fixture
def beyond(make_site, database: Database) -> Beyond:
    return Beyond(make_site, database)


def caller(beyond: Beyond, credential: Credential) -> tuple[Visitor, Visitor]:
    """One who makes what is asked for, and the one who asks, as ``credential`` says."""
    kind, _, how = credential.name.partition("-")
    holds = how if how in ("chat", "tune", "admin") else "admin"
    asks = beyond.signed_in(holds) if kind != "stranger" and kind != "key" else beyond.visitor()
    makes = beyond.signed_in(holds)
    makes.key = beyond.secrets["admin"]
    if kind == "key":
        asks.key = beyond.secrets[holds]
    if how == "no-token":
        asks.token = ""
    if credential.name == "page-ended":
        kept = asks.flask.get_cookie("homeroom_session")
        assert asks.post("/sign-out").status_code == 303
        asks.flask.set_cookie("homeroom_session", kept.value)  # whoever copied it
    if how == "revoked":
        gone = beyond.new_key("gone", "admin")
        asks = beyond.signed_in("gone") if kind == "page" else asks
        asks.key = beyond.secrets["gone"] if kind == "key" else ""
        beyond.keys.revoke(gone.id)
    return makes, asks


def code_of(response) -> str:
    """The error's code in JSON, OpenAI's or ours."""
    if response.mimetype != "application/json":
        return "host-refused" if "does not answer to the host" in response.get_data(as_text=True) else ""
    return str(response.get_json()["error"]["code"]).replace("_", "-")


@pytest.mark.parametrize("credential", BEYOND, ids=lambda credential: credential.name)
def test_every_cell_of_the_table(beyond: Beyond, credential: Credential) -> None:
    furnished(beyond.site)
    makes, asks = caller(beyond, credential)
    stage, seen = Stage(beyond.site, makes), 0
    more = {"beyond-host": {"Host": "evil.example"}, "beyond-origin": {"Origin": "https://evil.example"}}.get(credential.name, {})
    for rule, method, who, expected in cells(credentials=BEYOND):
        if who is not credential:
            continue
        route = f"{method} {rule}"
        policy = ROUTES.get(f"{'GET' if method == 'HEAD' else method} {rule}")
        reached = policy is not None and expected.status == policy.done
        address = stage.address(route) if reached else re.sub(r"<[^>]+>", "homeroom.css", rule)
        body = (
            {"data": {"key": beyond.secrets["chat"]}}
            if route == "POST /sign-in"
            else body_of(stage, route)
            if reached or policy is None or policy.family != "api"
            else {}
        )
        response = asks.open(address, method, headers={"Accept": "application/json", **more}, **body)
        status = response.status_code
        assert status == expected.status or (rule == "/ready" and status == 503), (route, credential.name, status, expected)
        if expected.code and method != "HEAD":
            assert code_of(response) == expected.code, (route, credential.name)
        response.close()
        seen += 1
        if route in ("POST /sign-in", "POST /sign-out") and expected.status == 303:
            asks = caller(beyond, credential)[1]  # another one's sign-in, or none
    stage.site.desk.chat.stop_all()
    for response in stage.open:
        response.close()
    assert seen > 6 * len(ROUTES)


def test_a_person_is_led_to_the_form_and_back(beyond: Beyond) -> None:
    visitor = beyond.visitor()
    asked = visitor.get("/jobs?x=1")
    assert (asked.status_code, asked.headers["Location"]) == (303, "/sign-in")
    form = visitor.load("/sign-in")
    assert "Compare" not in form and "<script" not in form and "hx-get" not in form
    answer = visitor.post("/sign-in", data={"key": f"  {beyond.secrets['tune']}\n"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs?x=1")
    assert "Jobs" in visitor.load("/jobs")
    assert "You are signed in" in visitor.get("/sign-in").get_data(as_text=True)


def test_nothing_leads_to_another_site_after_signing_in(beyond: Beyond) -> None:
    for address in ("//evil.example", "/\\evil.example", "/https://evil.example", "/%5cevil.example", "/chat?x=" + "y" * 3000):
        visitor = beyond.visitor()
        visitor.get(address)
        visitor.load("/sign-in")
        assert visitor.post("/sign-in", data={"key": beyond.secrets["chat"]}).headers["Location"] == "/"


def test_a_link_on_another_site_arrives_without_a_second_sign_in(beyond: Beyond) -> None:
    """The browser sends no strict cookie with it: the answer must neither ask nor replace the cookie, and come back."""
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    answer = beyond.visitor().get("/chat", headers=followed)
    assert '<meta http-equiv="refresh" content="0">' in answer.get_data(as_text=True)
    assert "Set-Cookie" not in answer.headers
    again = beyond.visitor().get("/chat", headers={**followed, "Sec-Fetch-Site": "same-origin"})
    assert again.headers["Location"] == "/sign-in"


@pytest.mark.parametrize("wrong", ["", "sk-homeroom-", "admin", "ä", "x" * 5000])
def test_a_wrong_key_is_told_and_opens_nothing(beyond: Beyond, wrong: str) -> None:
    visitor = beyond.visitor()
    answer = visitor.sign_in(wrong)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 401
    assert 'role="alert"' in page and "not known, expired or was revoked" in page
    assert wrong == "" or wrong not in page.replace("sk-homeroom-</code>", "") or wrong == "admin"
    assert visitor.get("/chat").status_code == 303


def test_wrong_keys_are_counted_and_right_ones_are_not(beyond: Beyond) -> None:
    for _ in range(ATTEMPTS_PER_MINUTE + 5):
        assert beyond.visitor().sign_in(beyond.secrets["chat"]).status_code == 303
    statuses = [beyond.visitor().sign_in("wrong").status_code for _ in range(ATTEMPTS_PER_MINUTE + 1)]
    assert statuses == [401] * ATTEMPTS_PER_MINUTE + [429]
    assert int(beyond.visitor().sign_in("wrong").headers["Retry-After"]) >= 1
    assert beyond.visitor().sign_in(beyond.secrets["chat"]).status_code == 303  # nobody is kept out by another one's guesses


def test_a_sign_in_ends_with_its_time(beyond: Beyond, monkeypatch) -> None:
    chat = beyond.signed_in("chat")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3590)
    assert chat.get("/chat").status_code == 200
    monkeypatch.setattr(time, "time", lambda: now + 3610)
    assert chat.get("/chat").status_code == 303


def test_revoking_a_key_ends_its_sign_ins_and_no_others(beyond: Beyond) -> None:
    two, other = [beyond.signed_in("chat"), beyond.signed_in("chat")], beyond.signed_in("tune")
    beyond.keys.revoke("chat")
    assert [who.get("/chat").status_code for who in (*two, other)] == [303, 303, 200]


def test_signing_out_ends_this_sign_in_and_no_other(beyond: Beyond) -> None:
    here, there = beyond.signed_in("chat"), beyond.signed_in("chat")
    assert here.post("/sign-out").headers["Location"] == "/sign-in"
    assert [who.get("/chat").status_code for who in (here, there)] == [303, 200]


def test_signing_in_forgets_what_the_browser_held(beyond: Beyond) -> None:
    visitor = beyond.visitor()
    visitor.load("/sign-in")
    before, cookie = visitor.token, visitor.flask.get_cookie("homeroom_session").value
    visitor.sign_in(beyond.secrets["chat"])
    assert visitor.token != before
    visitor.flask.set_cookie("homeroom_session", cookie)
    assert visitor.get("/chat").status_code == 303


def test_the_cookie_holds_no_key_and_is_strict(beyond: Beyond) -> None:
    visitor = beyond.visitor()
    visitor.load("/sign-in")
    cookie = visitor.post("/sign-in", data={"key": beyond.secrets["admin"]}).headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Secure" not in cookie
    assert "Expires" not in cookie and "Max-Age" not in cookie  # it ends with the browser
    assert beyond.secrets["admin"] not in cookie


def test_a_name_behind_https_gets_a_secure_cookie_and_its_own_origin(make_site, database: Database) -> None:
    beyond = Beyond(make_site, database, hosts=[f"https://{NAME}", "plain.example"])
    visitor = beyond.visitor(base_url=f"http://{NAME}")  # what the proxy sends on
    assert "Secure" in visitor.get("/sign-in").headers["Set-Cookie"]
    visitor.base_url = f"https://{NAME}"
    visitor.load("/sign-in")
    form = {"data": {"key": beyond.secrets["chat"]}}
    assert visitor.post("/sign-in", headers={"Origin": f"http://{NAME}"}, **form).status_code == 403
    assert visitor.post("/sign-in", headers={"Origin": f"https://{NAME}"}, **form).status_code == 303
    plain = beyond.visitor(base_url="http://plain.example")
    assert "Secure" not in plain.get("/sign-in", headers={"X-Forwarded-Proto": "https"}).headers["Set-Cookie"]


def test_beyond_loopback_any_address_in_digits_is_ours_and_names_must_be_allowed(make_site, database: Database) -> None:
    beyond = Beyond(make_site, database, hosts=[NAME])
    status = {
        host: beyond.visitor(base_url="http://x").get("/health", headers={"Host": host}).status_code
        for host in (
            "192.168.0.9:8642",
            "10.1.2.3",
            "[fe80::1]:8642",
            NAME,
            f"{NAME.upper()}:80",
            "evil.example",
            f"x.{NAME}",
            "1.2.3",
            "1.2.3.4.5",
        )
    }
    assert [host for host, code in status.items() if code != 200] == ["evil.example", f"x.{NAME}", "1.2.3", "1.2.3.4.5"]


def test_people_see_their_own_conversations_and_admins_those_of_the_home(beyond: Beyond) -> None:
    beyond.new_key("ben", "chat")
    ana, ben, admin, colleague = (beyond.signed_in(name) for name in ("chat", "ben", "admin", "admin"))
    begun = dict(ana.stream("/chat/turns", {"text": "Only mine"}))["begin"]["url"]
    of_home = dict(admin.stream("/chat/turns", {"text": "Of the home"}))["begin"]["url"]
    assert [who.get(begun).status_code for who in (ana, ben, admin)] == [200, 404, 404]
    assert [who.get(of_home).status_code for who in (admin, colleague, ana, ben)] == [200, 200, 404, 404]
    assert "Only mine" not in ben.get("/chat/sidebar").get_data(as_text=True)


def test_keys_of_the_api_share_files_as_those_of_a_project_do(beyond: Beyond) -> None:
    beyond.new_key("other", "tune")
    one, two = beyond.visitor(), beyond.visitor()
    one.key, two.key = beyond.secrets["tune"], beyond.secrets["other"]
    line = b'{"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Look."}]}\n'
    form = {"purpose": "fine-tune", "file": (io.BytesIO(line * 10), "train.jsonl")}
    file_id = one.post("/v1/files", data=form).get_json()["id"]
    job_id = one.post("/v1/fine_tuning/jobs", json={"model": "gpt-4o-mini", "training_file": file_id}).get_json()["id"]
    shared = {route for route, policy in ROUTES.items() if policy.rows == "project"}
    assert shared == {route for route in ROUTES if "/v1/files" in route or "/v1/fine_tuning" in route}
    seen = {route: two.get(_filled(route, file_id, job_id)) for route in shared if route.startswith("GET ")}
    assert {route: answer.status_code for route, answer in seen.items() if answer.status_code != 200} == {}
    for listed, what in (("GET /v1/files", file_id), ("GET /v1/fine_tuning/jobs", job_id)):
        assert what in [entry["id"] for entry in seen[listed].get_json()["data"]]
    for answer in seen.values():
        answer.close()
    assert two.post(f"/v1/fine_tuning/jobs/{job_id}/cancel").get_json()["status"] == "cancelled"
    assert two.flask.delete(f"/v1/files/{file_id}", headers={"Authorization": f"Bearer {two.key}"}).status_code == 200
    assert one.get(f"/v1/files/{file_id}").status_code == 404


def _filled(route: str, file_id: str, job_id: str) -> str:
    return route.split(" ", 1)[1].replace("<file_id>", file_id).replace("<job_id>", job_id)


def test_what_a_key_may_not_do_is_not_offered(beyond: Beyond) -> None:
    chat, admin = beyond.signed_in("chat"), beyond.signed_in("admin")
    assert 'href="/jobs"' not in chat.load("/models") and "Settings" not in chat.load("/models")
    assert 'href="/jobs"' in admin.load("/models") and "Settings" in admin.load("/models")
    assert "Signed in as chat" in chat.load("/models")


def test_a_stranger_learns_nothing_of_the_home(beyond: Beyond) -> None:
    beyond.site.jobs.append(Job("job-1", "secret work", "running", created_at=1.0, message="secret words"))
    visitor = beyond.visitor()
    addresses = [
        "/",
        "/no-such-page",
        "/jobs/job-1",
        "/models",
        "/sign-in",
        "/ready",
        "/chat/x",
        "/v1/models",
        "/v1/x",
        "/events",
    ]
    pages = [
        visitor.get(address, headers={"Accept": kind})
        for address in addresses
        for kind in ("text/html", "application/json", "*/*")
    ]
    pages += [visitor.post("/sign-in"), visitor.post("/sign-in", data="x" * 30_000), visitor.open("/chat", "PUT")]
    pages += [visitor.get("/models/list", headers={"HX-Request": "true"})]
    for page in pages:
        assert "secret" not in page.get_data(as_text=True).lower()
        assert "Base model" not in page.get_data(as_text=True)


def test_readiness_is_told_to_strangers_without_its_reasons(beyond: Beyond) -> None:
    from homeroom.errors import StorageError

    beyond.site.failing["database"] = StorageError("the file '/home/ana/homeroom.db' is damaged")
    strange, known = beyond.visitor().get("/ready"), beyond.signed_in("chat").get("/ready")
    assert (strange.status_code, strange.get_json()["checks"]) == (503, {"database": "not ok", "engine": "ok"})
    assert "/home/ana" in known.get_json()["checks"]["database"]


def test_a_form_without_a_sign_in_is_not_read(beyond: Beyond) -> None:
    body = io.BytesIO(b"text=" + b"x" * 5000)
    visitor = beyond.visitor()
    headers = {"Accept": "application/json"}
    answer = visitor.post(
        "/turns/x/feedback", input_stream=body, content_type="application/x-www-form-urlencoded", headers=headers
    )
    assert (answer.status_code, body.tell()) == (401, 0)


def test_without_a_sign_in_scripts_get_json_and_htmx_a_line_with_a_link(beyond: Beyond) -> None:
    visitor = beyond.visitor()
    script = visitor.post("/chat/turns", json={"text": "hi"}, headers={"Accept": "text/event-stream, application/json"})
    assert (script.status_code, script.get_json()["error"]["code"]) == (401, "sign-in")
    part = visitor.get("/chat/sidebar", headers={"HX-Request": "true"})
    assert part.status_code == 401 and 'href="/sign-in"' in part.get_data(as_text=True)


def test_on_loopback_nobody_signs_in(make_site) -> None:
    client = make_site().app.test_client()
    assert "No sign-in needed" in client.get("/sign-in").get_data(as_text=True)
    assert "Sign out" not in client.get("/chat").get_data(as_text=True)
