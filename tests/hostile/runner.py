"""Runs commands on hostile files, each in a process of its own that was forked from one with everything imported.

``python runner.py`` reads one JSON object per line (``argv``, ``env``, ``cwd``, ``out``) and answers with one (``code``, ``cpu_s``,
``rss_mb``, ``ran``). ``ran`` are the audit events by which Python would run something: none is expected, ever.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

WALL_S = 120
MEMORY_BYTES = 4 << 30
# https://docs.python.org/3/library/audit_events.html
RUNS_SOMETHING = {
    "pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn",
    "subprocess.Popen", "ctypes.dlopen", "webbrowser.open", "os.startfile",
}  # fmt: skip
PRELOADED = (
    "numpy", "gguf", "tokenizers", "jinja2", "httpx", "pydantic", "sqlalchemy", "alembic.command", "yaml", "openpyxl", "rich.table",
    "homeroom.cli.main", "homeroom.cli.models", "homeroom.cli.tune", "homeroom.cli.data", "homeroom.cli.init", "homeroom.app.home",
    "homeroom.app.importing", "homeroom.models.gguf_lora", "homeroom.models.hub", "homeroom.models.gguf_write",
)  # fmt: skip


def child(task: dict) -> int:
    out = Path(task["out"])
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(out / name, os.O_WRONLY | os.O_CREAT, 0o600), number)
    os.environ.clear()
    os.environ.update(task["env"])
    os.chdir(task["cwd"])
    sys.path.insert(0, task["cwd"])  # as `python -m homeroom` does: a module beside the model could be imported by its name
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.alarm(WALL_S)
    ran: list[str] = []

    def hook(event: str, arguments: tuple) -> None:
        if event in RUNS_SOMETHING or (event == "import" and str(arguments[0]).startswith("evil")):
            ran.append(f"{event}{arguments!r}"[:200])

    sys.addaudithook(hook)
    from homeroom.cli.main import run

    code = run(task["argv"])
    sys.stdout.flush()
    sys.stderr.flush()
    (out / "ran").write_text(json.dumps(ran))
    return code


def main() -> None:
    for name in PRELOADED:
        __import__(name)
    print("ready", flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                code = child(task)
            except BaseException:  # noqa: BLE001 - shown to the test as what it is: a traceback
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)
        _, status, used = os.wait4(pid, 0)
        ran = Path(task["out"]) / "ran"
        answer = {
            "code": os.waitstatus_to_exitcode(status),
            "cpu_s": used.ru_utime + used.ru_stime,
            "rss_mb": used.ru_maxrss // 1024,
            "ran": json.loads(ran.read_text()) if ran.exists() else [],
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
