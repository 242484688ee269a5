"""The web process as `homeroom serve` starts it: gunicorn over a real home."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from homeroom.accounts import KeyStore
from homeroom.app.home import Homeroom
from homeroom.app.reach import check_reach, is_public
from homeroom.chat.testing import PacedChatModel
from homeroom.errors import ConfigError
from homeroom.runtime import free_port
from homeroom.server.context import end_streams

starts_processes = pytest.mark.slow
SOURCE = str(Path(__file__).parents[2] / "src")


@contextmanager
def web_process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    argv = [sys.executable, "-m", "homeroom.server", *arguments]
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(url: str, process: subprocess.Popen[str]) -> httpx.Response:
    for _ in range(600):
        assert process.poll() is None, process.communicate()[0]
        try:
            return httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the web process did not answer")


@starts_processes
def test_it_serves_a_new_home_and_ends_on_a_signal_although_pages_are_open() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with web_process("--port", str(port)) as process:
        assert wait_for(f"{url}/health", process).json() == {"status": "ok"}
        assert httpx.get(url).status_code == 200
        ready = httpx.get(f"{url}/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"]["database"] == "ok"
        assert "homeroom models pull" in ready.json()["checks"]["engine"]
        assert httpx.get(f"{url}/v1/models").json()["object"] == "list"
        assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 403
        with httpx.stream("GET", f"{url}/events", timeout=10) as events:
            lines = events.iter_lines()
            assert next(lines) == ": open"
            process.send_signal(signal.SIGTERM)
            for _ in lines:  # ends by itself, without an error
                pass
        assert process.wait(20) == 0


@starts_processes
def test_an_address_that_others_can_reach_is_refused() -> None:
    with web_process("--host", "0.0.0.0", "--port", "1") as process:
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 2
    assert output.startswith("homeroom: ")
    assert "'0.0.0.0'" in output
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize("names", [(), ("tutor.school.example",), ("https://tutor.school.example",)])
@pytest.mark.parametrize(
    "host", ["0.0.0.0", "192.168.0.9", "::", "homeroom.school", "", "127.0.0.1", "::1", "localhost", "127.1.2.3"]
)
def test_others_are_let_near_only_once_somebody_has_a_key(host: str, names: tuple[str, ...]) -> None:
    alone = host in ("127.0.0.1", "::1", "localhost", "127.1.2.3") and not names
    assert is_public(host, names) is not alone
    check_reach(host, names, has_keys=True)
    if alone:
        check_reach(host, names, has_keys=False)
        return
    with pytest.raises(ConfigError, match="homeroom users key create") as caught:
        check_reach(host, names, has_keys=False)
    assert caught.value.code == "public-bind"


@starts_processes
def test_with_a_key_it_opens_elsewhere_and_asks_for_it_here_too(home: Path) -> None:
    with Homeroom.open() as opened:
        _, secret = KeyStore(opened.database).create("ana")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with web_process("--host", "0.0.0.0", "--allow-host", "https://tutor.school.example", "--port", str(port)) as process:
        assert wait_for(f"{url}/health", process).json() == {"status": "ok"}
        assert httpx.get(url, headers={"Accept": "text/html"}).headers["Location"] == "/sign-in"
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
        secure = httpx.get(f"{url}/sign-in", headers={"Host": "tutor.school.example"}).headers["Set-Cookie"]
        assert "Secure" in secure
        with httpx.Client(base_url=url, headers={"Accept": "text/html"}) as page:
            token = re.search(r'name="csrf_token" value="([^"]+)"', page.get("/sign-in").text)
            assert token
            assert page.post("/sign-in", data={"key": secret, "csrf_token": token[1]}).status_code == 303
            assert page.get("/chat").status_code == 200


@starts_processes
def test_as_many_files_may_be_opened_as_streams_need() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2000));"
        "from homeroom.server.gunicorn_app import allow_open_files as allow;"
        "seen = []; [(allow(n), seen.append(resource.getrlimit(resource.RLIMIT_NOFILE))) for n in (100, 600, 9000)]; print(seen)"
    )
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[(256, 2000), (600, 2000), (2000, 2000)]\n"


def test_starting_loads_nothing_heavy() -> None:
    code = (
        "import sys, homeroom.server.__main__;"
        "print([m for m in ('torch', 'numpy', 'transformers', 'dspy', 'lancedb', 'xllamacpp', 'openai') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout == "[]\n"
    )


def test_ending_keeps_replies_on_their_way(site, ana) -> None:
    model = site.add_model(PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    response = ana.post("/chat/turns", json={"text": "hi", "model": "ft:slow"})
    assert model.holding.wait(5)
    end_streams(site.app)
    assert "Stopped here." in response.get_data(as_text=True)
    model.release()
