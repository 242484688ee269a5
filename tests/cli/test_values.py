"""Numbers and times that no option takes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click
import pytest

from homeroom.accounts import KeyStore
from homeroom.app.home import Homeroom
from homeroom.app.migration.folder import MigrationFolder
from homeroom.app.migration.record import Ledger as FolderLedger
from homeroom.cli.main import COMMANDS, cli
from homeroom.cli.values import FiniteRange
from homeroom.errors import ConfigError
from homeroom.ledger.records import About

LARGE = "99999999999999999999"


def options(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Parameter]]:
    """Every option and argument of every command, with where it stands."""
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            yield from options(found, (*path, name))
    yield from ((" ".join((*path, *one.opts)), one) for one in group.params)


def test_every_number_of_every_command_is_finite_and_bounded() -> None:
    found = list(options(cli))
    assert {path.split()[0] for path, _ in found} >= set(COMMANDS) - {"worker"}
    loose = [
        path
        for path, one in found
        if isinstance(one.type, type(click.INT) | type(click.FLOAT))
        and not isinstance(one.type, FiniteRange)
        and not (isinstance(one.type, click.IntRange) and one.type.max is not None and one.type.min is not None)
    ]
    assert loose == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("users", "key", "create", "x", "--days", "inf"),
        ("users", "key", "create", "x", "--days", "1e+300"),
        ("users", "key", "create", "x", "--days", "nan"),
        ("users", "key", "create", "x", "--rpm", LARGE),
        ("migrate", "openai", "record", "f", "--model", "ft:m", "--budget-usd", "nan"),
        ("migrate", "openai", "record", "f", "--model", "ft:m", "--budget-usd", "inf"),
        ("costs", "budget", "set", "nan"),
        ("costs", "resolve", "cost-1", "--usd", "inf"),
        ("costs", "held", "--older-than", "nan"),
        ("jobs", "prune", "--days", "nan"),
        ("jobs", "prune", "--days", "1e+308"),
        ("tune", "run", "--priority", LARGE),
        ("tune", "run", "--priority", f"-{LARGE}"),
        ("tune", "run", "--at", "0001-01-01 00:00"),
        ("tune", "run", "--minutes", "nan"),
        ("tune", "run", "--minutes", "inf"),
        ("tune", "sweep", "--minutes", "nan"),
        ("tune", "sweep", "--seed", LARGE),
        ("tune", "recommend", "--budget-usd", "nan"),
        ("tune", "recommend", "--examples", LARGE),
        ("data", "split", "--seed", LARGE),
    ],
)
def test_what_is_no_number_here_is_one_line_that_names_it(homeroom, home, arguments) -> None:
    told = homeroom(*arguments)
    assert told.code == 2 and arguments[-2].lstrip("-").split()[0] in told.error.lower(), told.err
    assert arguments[-1].lstrip("-")[:20] in told.error
    assert not home.exists(), "nothing was begun"


def test_the_latest_and_the_earliest_that_can_be_said_work(homeroom) -> None:
    assert homeroom("users", "key", "create", "x", "--days", "36500", "--rpm", "1000000").code == 0
    assert "until 21" in homeroom("users", "key", "list").out
    assert homeroom("jobs", "prune", "--days", "36500").code == 0


@pytest.mark.parametrize("expires_at", [float("nan"), float("inf"), 1e300])
def test_no_key_without_an_end_that_can_be_told(homeroom, expires_at) -> None:
    with Homeroom.open() as home, pytest.raises(ConfigError) as caught:
        KeyStore(home.database).create("x", expires_at=expires_at)
    assert caught.value.code == "key-expired"
    with Homeroom.open() as home, pytest.raises(ConfigError) as caught:
        KeyStore(home.database).create("x", requests_per_minute=10**20)
    assert caught.value.code == "key-limit"


def test_keys_that_an_older_version_let_through_can_be_listed_and_revoked(homeroom) -> None:
    assert homeroom("users", "key", "create", "x", "--days", "30").code == 0
    with Homeroom.open() as home, home.database.write() as session:
        session.connection().exec_driver_sql("update api_keys set expires_at = 9e999")
    listed = homeroom("users", "key", "list")
    assert listed.code == 0 and "until beyond any calendar" in listed.out
    assert homeroom("users", "key", "revoke", "x").code == 0


@pytest.mark.parametrize(("usd", "limit"), [(0.1, float("nan")), (0.1, float("inf")), (0.1, -1.0), (float("nan"), 5.0)])
def test_no_ledger_holds_by_a_limit_that_nothing_exceeds(homeroom, tmp_path, usd, limit) -> None:
    folder = MigrationFolder(tmp_path)
    with pytest.raises(ConfigError) as caught:
        FolderLedger(folder).hold(usd, limit)
    assert caught.value.code == "usd-invalid" and FolderLedger(folder).usd == 0
    if usd != usd:
        with Homeroom.open() as home:
            with pytest.raises(ConfigError) as caught:
                home.ledger.hold(About("openai/m", "data"), usd)
            assert caught.value.code == "usd-invalid" and home.ledger.held() == ()


def test_a_run_waits_for_an_hour_that_comes(homeroom, course, recipe) -> None:
    homeroom("data", "split", course)
    arguments = ("tune", "run", "--recipe", recipe, "--dataset", "small-course", "--task", "tutor", "--no-wait", "--json")
    (made,) = homeroom(*arguments, "--at", "2099-01-01T00:00").json
    assert made["not_before"] > time.time()
    assert "waits until 2099-01-01 00:00" in homeroom("jobs", "list").out
