"""Every error that Homeroom raises on purpose.

    HomeroomError
    ├── ConfigError            a setting, flag, recipe or environment is wrong
    │   └── OptionError        a model cannot do what a request asks for besides text
    ├── DataError              records of a file are wrong: carries every problem found
    ├── MissingExtraError      an optional package is not installed
    ├── NotFoundError          nothing has that name or id
    ├── ConflictError          the state does not allow it (already running, in use, other identity)
    ├── StorageError           the disk or the database refused (no space, locked, damaged)
    ├── JobFailed              a background job ended without success
    └── ProviderError          a model endpoint refused or failed
        ├── AuthError
        ├── RateLimitError
        ├── ProviderTimeoutError
        └── ContextLengthError

A message says what happened, shows the value with ``!r`` and names the next command. Each error has a ``code``: the anchor of
its entry in ``docs/troubleshooting.md``. The command line prints one line (`homeroom.cli`), the server OpenAI's error object
(`homeroom.server`); nothing else formats errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TROUBLESHOOTING = "docs/troubleshooting.md"


class HomeroomError(Exception):
    """Base of all errors a user can cause or mend.

    Args:
        message: What happened, the value, and the next command.
        code: Anchor in the troubleshooting page; the class default when omitted.
    """

    code = "error"
    status = 400
    exit_code = 2

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    @property
    def help_link(self) -> str:
        """Where the error is explained: page and anchor."""
        return f"{TROUBLESHOOTING}#{self.code}"


class ConfigError(HomeroomError):
    """A setting, flag, recipe or the environment is wrong. For records of a data file use `DataError`."""

    code = "config"


class OptionError(ConfigError):
    """The model that is asked cannot do this. ``param`` names the option as OpenAI's API does."""

    code = "unsupported-parameter"

    def __init__(self, message: str, *, param: str, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.param = param


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in a file: where, which rule, and what to do.

    ``line`` counts from 1; 0 means the whole file. ``severity`` is ``"error"`` or ``"warning"``.
    """

    file: str
    line: int
    rule: str
    message: str
    severity: str = "error"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.rule}: {self.message}"


class DataError(HomeroomError):
    """Records are wrong. Carries *all* problems, so that a user mends them in one go."""

    code = "data"
    status = 422

    def __init__(self, message: str, problems: Sequence[Problem] = (), *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.problems = tuple(problems)


class MissingExtraError(HomeroomError):
    """An optional dependency is absent. Names the feature, the package and the install line."""

    code = "missing-extra"
    status = 501

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(f"{feature} needs the package {package!r}, which is not installed. Run: pip install 'homeroom[{extra}]'")
        self.feature, self.package, self.extra = feature, package, extra


class NotFoundError(HomeroomError):
    """Nothing has that name or id. For a thing that exists but may not be touched now use `ConflictError`."""

    code = "not-found"
    status = 404


class ConflictError(HomeroomError):
    """The present state does not allow the request: already running, in use, or of another identity."""

    code = "conflict"
    status = 409


class StorageError(HomeroomError):
    """The disk or the database refused: no space left, locked, damaged, read-only."""

    code = "storage"
    status = 507


class JobFailed(HomeroomError):
    """A background job ended without success. ``job_id`` names it; its events say why."""

    code = "job-failed"
    status = 500
    exit_code = 1

    def __init__(self, message: str, *, job_id: str = "", code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.job_id = job_id


class ProviderError(HomeroomError):
    """A model endpoint refused or failed. Subclasses say how; raise this one only when none of them fits.

    Args:
        status: HTTP status the endpoint gave (502 when it gave none).
        request_id: The endpoint's id for the request, when it sent one.
        retry_after_s: Seconds after which trying again makes sense, when known.
        param: The field of the request that the endpoint says is wrong, when it says so.
    """

    code = "provider"
    status = 502

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        param: str = "",
    ) -> None:
        super().__init__(message, code=code)
        if status is not None:
            self.status = status
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.param = param


class AuthError(ProviderError):
    """The endpoint refused the credential (401, 403)."""

    code = "provider-auth"
    status = 401


class RateLimitError(ProviderError):
    """The endpoint asked to slow down (429) and the retries allowed were used up."""

    code = "provider-rate-limit"
    status = 429


class ProviderTimeoutError(ProviderError):
    """The endpoint did not answer in the time allowed, or could not be reached."""

    code = "provider-timeout"
    status = 504


class ContextLengthError(ProviderError):
    """The prompt does not fit the model's context. The message carries both numbers."""

    code = "context-length"
    status = 400
