"""A home's job worker: ``python -m homeroom.app.run_worker``, and ``homeroom worker``. The home comes from the environment."""

from __future__ import annotations

import signal
import sys
import threading

from homeroom.app.fine_tuning.deliveries import delivering
from homeroom.app.home import Homeroom
from homeroom.app.logs import log_to_stderr
from homeroom.app.openai_left import tidying
from homeroom.app.work import make_worker


def run_until_told(home: Homeroom) -> None:
    """Run queued jobs, send webhooks and see to what runs left at endpoints, until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with delivering(home), tidying(home):
        make_worker(home).run(stop)


def main() -> int:
    """The worker of `homeroom serve`."""
    with Homeroom.open() as home:
        log_to_stderr(home.settings.log_level)
        run_until_told(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
