"""The server's job worker: ``python -m homeroom.app.run_worker``. Its home comes from the environment."""

from __future__ import annotations

import os
import signal
import sys
import threading

from homeroom.app.fine_tuning.deliveries import delivering
from homeroom.app.home import Homeroom
from homeroom.app.logs import log_to_stderr
from homeroom.app.openai_left import tidying
from homeroom.app.work import make_worker


def main() -> int:
    """Run queued jobs until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    os.nice(5)  # jobs yield to the chat
    with Homeroom.open() as home:
        log_to_stderr(home.settings.log_level)
        with delivering(home), tidying(home):
            make_worker(home).run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
