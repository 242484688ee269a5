"""Webhooks: who is told how fine-tuning jobs end, and the queue of what is still to be told."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from homeroom.app.fine_tuning.addresses import check_url
from homeroom.app.fine_tuning.signing import new_secret
from homeroom.errors import ConfigError, NotFoundError
from homeroom.storage import LOCAL, Database, Scope
from homeroom.storage.tables import FineTuningJobRow, JobRow, WebhookDeliveryRow, WebhookRow, new_id

EVENTS = ("fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled")
FIRST_PAUSE_S, LONGEST_PAUSE_S, GIVE_UP_S = 5.0, 3600.0, 72 * 3600.0
_FINAL = ("succeeded", "failed", "cancelled")
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is told of events. Its secret is shown once, when it is made.

    Attributes:
        waiting: Events that it has not taken yet.
    """

    id: str
    url: str
    events: tuple[str, ...]
    created_at: float
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one webhook. ``id`` is the event's, the same in each try."""

    id: str
    url: str
    secret: str
    payload: dict[str, object]
    attempts: int
    created_at: float


class WebhookStore:
    """The webhooks of one scope. `due`, `taken` and `refused` are the sender's and serve every scope. Thread-safe.

    Args:
        database: Where they are.
        scope: Whose they are.
        private: Whether addresses of this machine and of private networks are allowed.
        clock: Unix seconds.
    """

    def __init__(self, database: Database, *, scope: Scope = LOCAL, private: bool = False, clock: Clock = time.time) -> None:
        self._database, self._scope, self._private, self._clock = database, scope, private, clock

    def add(self, url: str, events: Sequence[str] = EVENTS) -> tuple[Webhook, str]:
        """A new webhook and its secret. It is told of jobs that end from now on.

        Raises:
            ConfigError: ``webhook-url``, ``webhook-private``, ``webhook-event``.
        """
        check_url(url, private=self._private)
        unknown = [event for event in events if event not in EVENTS]
        if unknown or not events:
            raise ConfigError(f"The event {(unknown or [''])[0]!r} is none of: {', '.join(EVENTS)}", code="webhook-event")
        now, secret = self._clock(), new_secret()
        with self._database.write() as session:
            row = WebhookRow(
                id=new_id("webhook"),
                url=url,
                secret=secret,
                events=[event for event in EVENTS if event in events],
                created_at=now,
                **self._scope.columns(),
            )
            session.add(row)
            session.flush()
            for subject, _, _ in _ended(session, row):  # what is over already is not news
                session.add(_delivery(session, row, subject, "", now, told_at=now))
            return _webhook(session, row), secret

    def list(self) -> tuple[Webhook, ...]:
        """Every webhook, oldest first."""
        query = select(WebhookRow).filter_by(**self._scope.columns()).order_by(WebhookRow.created_at, WebhookRow.id)
        with self._database.read() as session:
            return tuple(_webhook(session, row) for row in session.scalars(query))

    def remove(self, reference: str) -> Webhook:
        """Remove a webhook, by id or address, and what it was still to be told.

        Raises:
            NotFoundError: ``webhook-not-found``.
        """
        with self._database.write() as session:
            rows = session.scalars(select(WebhookRow).filter_by(**self._scope.columns()))
            row = next((row for row in rows if reference in (row.id, row.url)), None)
            if row is None:
                raise NotFoundError(
                    f"There is no webhook {reference!r}. List them: homeroom jobs webhook list", code="webhook-not-found"
                )
            found = _webhook(session, row)
            for delivery in session.scalars(select(WebhookDeliveryRow).filter_by(webhook_id=row.id)):
                session.delete(delivery)
            session.flush()
            session.delete(row)
            return found

    def collect(self) -> None:
        """Put into the queue what has ended since, in the order of its ends. Nothing is put there twice."""
        with self._database.read() as session:
            if not any(_ended(session, row) for row in session.scalars(select(WebhookRow))):
                return
        now = self._clock()
        with self._database.write() as session:
            for row in session.scalars(select(WebhookRow)).all():
                for subject, state, finished_at in _ended(session, row):
                    delivery = _delivery(session, row, subject, f"fine_tuning.job.{state}", now)
                    delivery.payload = _payload(delivery, subject.partition(" ")[0], finished_at)
                    session.add(delivery)
                    session.flush()

    def due(self) -> Sequence[Delivery]:
        """The first event that each webhook has not taken, where its time has come. Later ones wait for it."""
        now = self._clock()
        found = []
        with self._database.read() as session:
            for webhook in session.scalars(select(WebhookRow)):
                row = session.scalar(_open(webhook.id).order_by(WebhookDeliveryRow.position).limit(1))
                # A time that is further away than the longest pause was set before the clock was set back.
                if row is not None and (row.next_at <= now or row.next_at > now + LONGEST_PAUSE_S):
                    found.append(Delivery(row.id, webhook.url, webhook.secret, row.payload, row.attempts, row.created_at))
        return found

    def taken(self, delivery_id: str) -> None:
        """The webhook took it."""
        with self._database.write() as session:
            row = session.get(WebhookDeliveryRow, delivery_id)
            if row is not None:
                row.attempts += 1
                row.delivered_at = self._clock()

    def refused(self, delivery_id: str) -> bool:
        """The webhook did not take it: it is tried again, after a pause that doubles. Returns whether it is given up instead."""
        now = self._clock()
        with self._database.write() as session:
            row = session.get(WebhookDeliveryRow, delivery_id)
            if row is None:
                return True
            row.attempts += 1
            row.next_at = now + min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(row.attempts - 1, 20))
            if now - row.created_at >= GIVE_UP_S:
                row.given_up_at = now
            return row.given_up_at is not None


def _ended(session: Session, webhook: WebhookRow) -> list[tuple[str, str, float]]:
    """Subject, state and time of each end that the webhook wants to know and that is not in its queue."""
    states = [state for state in _FINAL if f"fine_tuning.job.{state}" in webhook.events]
    subject = FineTuningJobRow.id + " " + JobRow.state
    known = select(WebhookDeliveryRow.id).where(
        WebhookDeliveryRow.webhook_id == webhook.id, WebhookDeliveryRow.subject == subject
    )
    query = (
        select(FineTuningJobRow.id, JobRow.state, JobRow.finished_at)
        .join(JobRow, JobRow.id == FineTuningJobRow.job_id)
        .where(FineTuningJobRow.workspace_id == webhook.workspace_id, FineTuningJobRow.owner_id == webhook.owner_id)
        .where(JobRow.state.in_(states), ~known.exists())
        .order_by(JobRow.finished_at, FineTuningJobRow.position)
    )
    return [(f"{job} {state}", state, finished_at or 0.0) for job, state, finished_at in session.execute(query)]


def _delivery(
    session: Session, webhook: WebhookRow, subject: str, type: str, now: float, *, told_at: float | None = None
) -> WebhookDeliveryRow:
    last = session.scalar(select(func.max(WebhookDeliveryRow.position)).filter_by(webhook_id=webhook.id)) or 0
    return WebhookDeliveryRow(
        id=f"evt_{secrets.token_hex(16)}",
        position=last + 1,
        webhook_id=webhook.id,
        subject=subject,
        type=type,
        payload={},
        next_at=now,
        created_at=now,
        delivered_at=told_at,
        workspace_id=webhook.workspace_id,
        owner_id=webhook.owner_id,
    )


def _payload(delivery: WebhookDeliveryRow, job_id: str, finished_at: float) -> dict[str, object]:
    """OpenAI's webhook event."""
    return {
        "id": delivery.id,
        "object": "event",
        "created_at": int(finished_at),
        "type": delivery.type,
        "data": {"id": job_id},
    }


def _open(webhook_id: str) -> Select[WebhookDeliveryRow]:
    """Its events that are still to be told."""
    return select(WebhookDeliveryRow).filter_by(webhook_id=webhook_id, delivered_at=None, given_up_at=None)


def _webhook(session: Session, row: WebhookRow) -> Webhook:
    waiting = session.scalar(select(func.count()).select_from(_open(row.id).subquery())) or 0
    return Webhook(row.id, row.url, tuple(row.events), row.created_at, waiting)
