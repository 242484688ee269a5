"""Entry point: the command table, and the one place where errors become a line on the terminal."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from homeroom import __version__
from homeroom.errors import ConfigError, DataError, HomeroomError, StorageError

FINALIZER_S = 0.02  # after it, a finalizer in which Ctrl-C was lost has ended

# Command -> (module under homeroom.cli, one line of help). Nothing is imported for `--help`.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "From the bundled course (or your file) to a chat with a tuned model."),
    "doctor": ("doctor", "Say what this machine can run and what is missing."),
    "init": ("init", "Make a project folder from a CSV, XLSX or JSONL file."),
    "data": ("data", "Check, show, split and version training data."),
    "tune": ("tune", "Plan and run tuning."),
    "jobs": ("jobs", "List, follow and cancel background jobs."),
    "models": ("models", "List, pull, import, choose and delete models."),
    "eval": ("eval", "Compare models on held-out examples."),
    "serve": ("serve", "Serve the chat and the OpenAI-compatible API."),
    "worker": ("worker", "Run queued jobs."),
    "chat": ("chat", "Chat in the terminal."),
    "practice": ("practice", "Practise teaching with a simulated learner in the terminal."),
    "costs": ("costs", "Say what paid calls cost, and set budgets that stop them."),
    "users": ("users", "Manage who may call the API."),
    "migrate": ("migrate", "Bring tuned models home before their provider ends them."),
    "pack": ("pack", "Put everything into one folder for a machine without a network."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table: the way a new user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; each defines ``command``."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"homeroom.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List from the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:  # click's own return type is a loose tuple
        """Name the nearest command for a mistyped one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " See: homeroom --help"
            raise click.UsageError(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="homeroom")
@click.option("--home", type=click.Path(file_okay=False), help="Folder that holds the state (HOMEROOM_HOME).")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, home: str | None, debug: bool) -> None:
    """Educational chatbots that are tuned, grounded and proven.

    Start with: homeroom demo
    """
    ctx.obj = {"overrides": {"home": home} if home else {}, "debug": debug}


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0 success, 1 a check did not pass, 2 a user's error, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter shows another, and ends nothing
    sys.unraisablehook = _deliver_interrupts
    code = 130
    try:
        code = run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # pressed again while the first one was being told
        pass
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # from here on there is nothing to interrupt but the clearing up
    sys.exit(code)


def _deliver_interrupts(unraisable: Any) -> None:
    """Ctrl-C that fell into a finalizer, where Python would print it and go on, interrupts what comes after the finalizer."""
    if unraisable.exc_type is KeyboardInterrupt:
        again = threading.Timer(FINALIZER_S, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(unraisable)


def run(argv: list[str]) -> int:
    """As `main`, returning the exit code."""
    if (unusable := _unusable()) is not None:
        return unusable
    if "_HOMEROOM_COMPLETE" in os.environ:
        cli.main(args=argv, prog_name="homeroom")  # a shell asks for completions; this ends the process
    try:
        # Not click's own main: it would turn interrupts and readers that leave into outcomes of its own.
        with cli.make_context("homeroom", list(argv)) as ctx:
            outcome = cli.invoke(ctx)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except HomeroomError as error:
        if "--debug" in argv:
            raise
        return report(error, as_json="--json" in argv)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        return usage_error(error, as_json="--json" in argv)
    except click.Abort:  # a question was answered by Ctrl-C, or by nobody
        click.echo("\nNothing was done.", err=True)
        return 130
    except KeyboardInterrupt:
        click.echo("\nStopped. What was finished is kept; run the same command to continue.", err=True)
        return 130
    except BrokenPipeError:
        # The reader (head, less) went away: not an error. Python would complain again while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, UnicodeEncodeError) as error:  # what the layers below did not meet with a better message: no mistake of ours
        told = _disk_error(error) if isinstance(error, OSError) else _no_text(argv)
        if told is None or "--debug" in argv:
            raise
        return report(told, as_json="--json" in argv)
    return outcome if isinstance(outcome, int) else 0


def _no_text(argv: Sequence[str]) -> HomeroomError | None:
    """Of an argument with bytes that are no text: they may be a file's name, and no database takes them. None without one."""
    odd = next((argument for argument in argv if argument.encode(errors="replace").decode() != argument), None)
    if odd is None:
        return None
    return ConfigError(f"The argument {odd!r} holds bytes that are not UTF-8. Write it as text.", code="argument-not-text")


def _unusable() -> int | None:
    """The exit code on a machine where nothing can work, once that is said; None everywhere else."""
    if sys.version_info < (3, 11):  # noqa: UP036 - a clear line beats a syntax error in a later import
        return fail(f"Homeroom needs Python 3.11 or newer; this is {sys.version.split()[0]}.", "old-python")
    if sys.platform == "win32":
        return fail(
            "Homeroom does not run on Windows itself, which lacks the process groups and file locks that it relies on. "
            "Use it inside WSL 2: wsl --install",
            "platform",
        )
    return None


def _disk_error(error: OSError) -> StorageError:
    """What the system refused, with the file that it was about."""
    where = repr(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else "A file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(
            f"{where} could not be written: no space is left on its disk. Make space, then run the same command again.",
            code="no-space",
        )
    return StorageError(
        f"{where} cannot be opened, made or written: {error.strerror or error}. Check its name and permissions, "
        "then run the same command again.",
        code="not-writable",
    )


def usage_error(error: click.ClickException, *, as_json: bool) -> int:
    """Click's own complaints in one line, with the command's help named."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "homeroom"
    return fail(f"{error.format_message()} See: {path} --help", "usage", as_json=as_json)


def report(error: HomeroomError, *, as_json: bool = False) -> int:
    """Print one of Homeroom's errors; a data error also lists its problems. Returns the exit code."""
    problems = error.problems if isinstance(error, DataError) else ()
    message = error.message
    if not as_json:
        lines = message.split("\n")
        mistakes = [line for line in lines if line.startswith("  ")]  # of one file, a line each
        for line in mistakes:
            click.echo(f"  {one_line(line)}", err=True)
        told = [line for line in lines if not line.startswith("  ")]
        message = " ".join(f"{line[:-1]}." if mistakes and line.endswith(":") else line for line in told)
        for problem in problems[:20]:
            click.echo(f"  {one_line(str(problem))}", err=True)
        if len(problems) > 20:
            click.echo(f"  ... and {len(problems) - 20} more", err=True)
    fail(message, error.code, as_json=as_json, problems=[str(p) for p in problems])
    return error.exit_code


def fail(message: str, code: str, *, as_json: bool = False, problems: list[str] | None = None) -> int:
    """One clear line on standard error (or a JSON object on standard output); always 2."""
    if as_json:
        import json

        body: dict[str, object] = {"message": message, "code": code, "help": f"docs/troubleshooting.md#{code}"}
        click.echo(json.dumps({"error": {**body, **({"problems": problems} if problems else {})}}))
    else:
        click.echo(f"error: {one_line(message)}  [help: docs/troubleshooting.md#{code}]", err=True)
    return 2


def one_line(text: str) -> str:
    """``text`` in one line, without the control characters that a file's name may hold to steer a terminal."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in text).split())
