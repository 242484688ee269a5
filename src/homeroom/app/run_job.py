"""The process of one job: ``python -m homeroom.app.run_job JOB_ID TOKEN``. Its home comes from the environment."""

from __future__ import annotations

import os
import sys

from homeroom.app.handlers import handlers
from homeroom.app.home import Homeroom
from homeroom.app.logs import log_to_stderr
from homeroom.jobs.execute import execute

NICENESS = 5


def yield_to_the_chat() -> None:
    """Give this process, and all that it starts, the lower priority of a job; one that has it, or a lower one, keeps it."""
    os.nice(max(0, NICENESS - os.nice(0)))


def main(argv: list[str]) -> int:
    """Run the handler of the claimed job; the outcome is written to the job table under the claim's token."""
    yield_to_the_chat()
    job_id, token = argv[0], int(argv[1])
    with Homeroom.open() as home:
        log_to_stderr(home.settings.log_level)
        return execute(home.jobs, job_id, token, handlers(home), home.work_root)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
