"""Packs for other machines: which wheels they need, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from homeroom.app.packing.locks import Pin, find_checkout, locked
from homeroom.app.packing.target import choose_target, required_system
from homeroom.app.packing.wheels import Wheel, resolve, unmet
from homeroom.errors import ConfigError, HomeroomError
from tests.app.packages import fill_index, make_checkout, make_wheel, sha256, use_index

pytestmark = pytest.mark.slow  # many processes, or much arithmetic

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class Place(NamedTuple):
    index: Path
    checkout: Path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    use_index(monkeypatch, tmp_path / "index")
    wheels = fill_index(tmp_path / "index")
    return Place(tmp_path / "index", make_checkout(tmp_path / "checkout", {name: wheels[name] for name in ("alpha", "beta")}))


LINUX, MAC = choose_target(None, ["manylinux_2_28_x86_64"]), choose_target("3.12", ["macosx_14_0_arm64"])


def test_what_only_the_other_machine_needs_is_added_although_the_lock_lacks_it(place: Place) -> None:
    pins = locked(place.checkout, "demo")
    linux = {wheel.name: wheel.locked for wheel in resolve(pins, ["alpha"], ("demo",), LINUX, None)}
    assert linux == {"alpha": True, "beta": True, "torch": False}
    mac = {wheel.name: wheel.locked for wheel in resolve(pins, ["alpha"], ("demo",), MAC, None)}
    assert mac == {**linux, "gamma": False}


def test_what_has_no_wheel_for_the_other_machine_is_named_all_at_once(place: Place) -> None:
    only_here = {
        name: make_wheel(place.index, name, "1.0", tag="cp311-cp311-manylinux_2_17_x86_64") for name in ("delta", "epsilon")
    }
    pins = [*locked(place.checkout, "demo"), *(Pin(name, "1.0", frozenset({sha256(p)})) for name, p in only_here.items())]
    assert "delta" in {w.name for w in resolve(pins, [], (), choose_target("3.11", ["manylinux_2_28_x86_64"]), None)}
    with pytest.raises(ConfigError, match=r"Python 3\.12 on macOS arm64 of: .*") as caught:
        resolve(pins, [], (), MAC, None)
    assert caught.value.code == "pack-unavailable"
    assert "delta==1.0" in caught.value.message and "epsilon==1.0" in caught.value.message
    assert "alpha" not in caught.value.message


def wheel(name: str, version: str, *requires: str) -> Wheel:
    return Wheel(name, version, "", "", "", False, requires)


def test_extras_and_markers_are_followed_and_conflicts_told() -> None:
    found = {"a": wheel("a", "1.0", "b[fast]>=1", "never; extra == 'x'"), "b": wheel("b", "1.5", "c>2,<4; extra == 'fast'")}
    assert unmet(found, ["a", "homeroom[demo]", "d; extra == 'demo'"], ("demo",), LINUX) == ["c<4,>2", "d"]
    found["c"] = wheel("c", "4.0")
    with pytest.raises(ConfigError, match=r"c 4\.0 .* c<4,>2"):
        unmet(found, ["a"], (), LINUX)


def test_pip_is_told_of_another_machine_only_when_it_is_another() -> None:
    assert choose_target(None, []).pip_flags == []
    assert choose_target(HERE, []).here
    flags = choose_target("3.13", ["manylinux_2_18_aarch64"]).pip_flags
    assert flags[:4] == ["--implementation", "cp", "--python-version", "3.13"]
    assert flags[5::2] == ["manylinux_2_18_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64"]
    assert (MAC.system, MAC.machine, MAC.markers["sys_platform"], MAC.markers["python_version"]) == (
        "Darwin",
        "arm64",
        "darwin",
        "3.12",
    )
    assert str(MAC) == "Python 3.12 on macOS arm64"


@pytest.mark.parametrize(
    ("python", "platforms", "code"),
    [
        ("3.10", [], "pack-platform"),
        ("4", [], "pack-platform"),
        ("3.12.1", [], "pack-platform"),
        (None, ["plan9"], "pack-platform"),
        (None, ["manylinux_2_28_x86_64", "macosx_14_0_arm64"], "pack-platform"),
        (None, ["win_amd64"], "platform"),
        (None, ["win32"], "platform"),
    ],
)
def test_a_machine_that_is_none_is_refused(python: str | None, platforms: list[str], code: str) -> None:
    with pytest.raises(HomeroomError) as caught:
        choose_target(python, platforms)
    assert caught.value.code == code


def test_the_oldest_system_is_that_of_the_newest_wheel_at_its_oldest_platform() -> None:
    assert required_system(["a-1-py3-none-any"]) == {}
    two = ["a-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_28_x86_64", "b-1-cp311-cp311-manylinux_2_24_x86_64"]
    assert required_system(two) == {"glibc": "2.24"}
    assert required_system(["a-1-cp310-abi3-macosx_13_0_arm64", "b-1-cp311-cp311-macosx_14_1_arm64"]) == {"macos": "14.1"}


def test_the_real_locks_can_be_read() -> None:
    pins = locked(find_checkout(), "demo")
    assert {"flask", "xllamacpp", "torch"} <= {pin.name for pin in pins}
    assert [pin.name for pin in pins if not pin.hashes] == ["torch"]
