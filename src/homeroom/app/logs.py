"""Logging of the processes that run beside the web pages: to standard error, which their parent keeps in a file.

A log is read by others than those whose words pass through the server. So it says where something failed and of which kind the
failure was, never what the exception said: a database's or a codec's message quotes what a person typed.
"""

from __future__ import annotations

import logging
import traceback
from types import TracebackType

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

# What `sys.exc_info` gives.
ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class PrivateFormatter(logging.Formatter):
    """Shows of an exception its type and its places in the source, with those of its causes, and not its message."""

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802 - logging's naming
        """The frames of the exception and of what caused it, without their messages."""
        parts: list[str] = []
        error: BaseException | None = ei[1]
        while error is not None and len(parts) < 10:
            kind = f"{type(error).__module__}.{type(error).__qualname__}"
            parts.insert(0, "".join(traceback.format_tb(error.__traceback__)) + kind)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nwhich led to:\n".join(parts)


def log_to_stderr(level: str) -> None:
    """Send every record of ``level`` (a value of the setting ``log_level``) and above to standard error, with its time.

    The level is that of our own records. Other packages speak from warnings on: at lower levels they write what they send.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(PrivateFormatter(FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("homeroom").setLevel(level.upper())
