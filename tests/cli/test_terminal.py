"""What a person sees in a real terminal: a prompt, a reply, one live line, and Ctrl-C that stops a reply and not the chat."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from homeroom.app.home import Homeroom
from tests.cli.commands import PATIENCE_S, environment, kill_all, processes_of


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.shown = ""
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "homeroom", *arguments],
            env={**environment(home), "TERM": "xterm", "COLUMNS": "100"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def until(self, pattern: str, after: int = 0) -> int:
        """Wait until ``pattern`` is shown beyond ``after``; where it ends."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := re.compile(pattern).search(self.shown, after)):
            assert time.monotonic() < deadline, self.shown
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self._master, 65536).decode("utf-8", "replace")
                except OSError:  # the other side is closed
                    assert re.compile(pattern).search(self.shown, after), self.shown
        return found.end()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    @contextmanager
    def pressed(self, number: signal.Signals) -> Iterator[None]:
        """A key that is pressed again each second: a press between a prompt and the reading of its line waits for the line."""
        answered = threading.Event()

        def press() -> None:
            while not answered.is_set() and self.process.poll() is None:
                self.process.send_signal(number)
                answered.wait(1)

        presses = threading.Thread(target=press)
        presses.start()
        try:
            yield
        finally:
            answered.set()
            presses.join()

    def ended(self) -> int:
        """The exit code. Reads on, because a terminal that nobody reads lets no program end."""
        try:
            while True:
                self.shown += os.read(self._master, 65536).decode("utf-8", "replace")
        except OSError:  # the other side is closed
            os.close(self._master)
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def terminal(home: Path) -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        started.append(Terminal(home, *arguments))
        return started[-1]

    yield start
    kill_all(home)
    for one in started:
        one.process.wait()


def test_a_chat_asks_answers_and_ends(terminal, home):
    chat = terminal("chat")
    place = chat.until("you> ")
    chat.type("Half of 14 is 8.\n")
    place = chat.until("you> ", place)
    chat.type("\n")
    assert chat.ended() == 0
    assert "Traceback" not in chat.shown
    assert processes_of(home) == []
    with Homeroom.open() as opened:
        from homeroom.chat.conversations import ConversationStore
        from homeroom.storage import Scope

        (conversation,) = ConversationStore(opened.database).list(Scope())
        assert conversation.title == "Half of 14 is 8."


def test_ctrl_c_at_the_prompt_ends_in_one_line(terminal, home):
    practice = terminal("practice", "--scenario", "1")
    practice.until("teacher> ")
    with practice.pressed(signal.SIGINT):
        practice.until("Stopped")
    assert practice.ended() == 130
    assert "Traceback" not in practice.shown
    assert processes_of(home) == []


def test_a_job_is_followed_on_one_live_line(terminal, home):
    with Homeroom.open() as opened:
        job = opened.jobs.submit("knit", {})
    follow = terminal("jobs", "follow", job.id)
    follow.until("queued|running")
    assert follow.ended() == 1
    assert "\r\x1b[2K" in follow.shown
    last = follow.shown.replace("\r\n", "\n").rstrip("\n").split("\n")[-1]
    assert last.split("\x1b[2K")[-1].startswith(f"error: Job {job.id} (knit) did not succeed: No handler is known")
