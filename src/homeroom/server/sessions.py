"""The session cookie, for clocks that are set."""

from __future__ import annotations

import time

from flask import Flask, Request, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import BadSignature, SignatureExpired


class SteadySessions(SecureCookieSessionInterface):
    """Flask's sessions in a signed cookie, except that one signed "tomorrow" still counts.

    After the clock was set back, every cookie that was given before is dated in the future, and Flask takes it for expired: each
    open page would refuse what a person wrote. One that is too old stays expired, and a signature that is not ours counts for
    nothing.
    """

    def get_cookie_secure(self, app: Flask) -> bool:
        """The cookie of a name that is reached by HTTPS is never sent without it."""
        return request.is_secure

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """The session of the request's cookie; an empty one where there is none that counts."""
        cookie = request.cookies.get(self.get_cookie_name(app))
        if not cookie:  # programs send none: no key is derived for them
            return self.session_class()
        serializer = self.get_signing_serializer(app)
        if serializer is not None:
            try:
                return self.session_class(serializer.loads(cookie, max_age=int(app.permanent_session_lifetime.total_seconds())))
            except SignatureExpired as expired:
                if expired.date_signed is not None and expired.date_signed.timestamp() > time.time():
                    return self.session_class(serializer.loads(cookie))
            except BadSignature:
                pass
        return super().open_session(app, request)
