"""The process of one job: ``python -m homeroom.app.run_job JOB_ID TOKEN``. Its home comes from the environment."""

from __future__ import annotations

import sys

from homeroom.app.handlers import handlers
from homeroom.app.home import Homeroom
from homeroom.app.logs import log_to_stderr
from homeroom.jobs.execute import execute


def main(argv: list[str]) -> int:
    """Run the handler of the claimed job; the outcome is written to the job table under the claim's token."""
    job_id, token = argv[0], int(argv[1])
    with Homeroom.open() as home:
        log_to_stderr(home.settings.log_level)
        return execute(home.jobs, job_id, token, handlers(home), home.work_root)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
