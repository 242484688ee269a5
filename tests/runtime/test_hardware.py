"""Facts about the machine, read from a made-up one and from this one."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from homeroom.errors import ConfigError
from homeroom.runtime import free_port, hardware
from homeroom.runtime.hardware import parse_memory


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\nflags\t\t: fpu avx512f avx512_bf16 amx_bf16\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal:        8000000 kB\nMemFree: 1 kB\n")
    return tmp_path


def test_processor_and_memory(root: Path) -> None:
    found = hardware(root=root)
    assert (found.avx512, found.amx_bf16, found.avx512_bf16) == (True, True, True)
    assert found.memory_bytes == 8_000_000 * 1024
    assert found.gpu is None
    assert found.python == platform.python_version()
    assert found.platform.startswith(platform.system())


def test_plain_processor(root: Path) -> None:
    (root / "proc/cpuinfo").write_text("flags : fpu avx2\n")
    found = hardware(root=root)
    assert (found.avx512, found.amx_bf16, found.avx512_bf16) == (False, False, False)


def test_limits_of_a_container_count(root: Path) -> None:
    (root / "sys/fs/cgroup/memory.max").write_text("1000000\n")
    (root / "sys/fs/cgroup/cpu.max").write_text("50000 100000\n")
    found = hardware(root=root)
    assert (found.cores, found.memory_bytes) == (1, 1_000_000)


def test_no_limit_is_no_limit(root: Path) -> None:
    (root / "sys/fs/cgroup/memory.max").write_text("max\n")
    (root / "sys/fs/cgroup/cpu.max").write_text("max 100000\n")
    found = hardware(root=root)
    assert (found.cores, found.memory_bytes) == (len(os.sched_getaffinity(0)), 8_000_000 * 1024)


def test_gpu_is_named(root: Path) -> None:
    folder = root / "proc/driver/nvidia/gpus/0000:01:00.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text("Model: \t\t NVIDIA H100\nIRQ: 1\n")
    assert hardware(root=root).gpu == "NVIDIA H100"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GB", 24e9),
        (" 24 gb ", 24e9),
        ("24", 24e9),
        ("1.5GB", 1.5e9),
        ("24GiB", 24 * 2**30),
        ("24576MiB", 24 * 2**30),
        ("1000MB", 1e9),
    ],
)
def test_a_memory_is_read_as_it_is_written(text: str, size: float) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "GB", "24 TB", "-24GB", "999MB", "10001GB", "1" * 400, "2,4GB", "24GB x", "inf"])
def test_what_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="tune plan --gpu 24GB") as caught:
        parse_memory(text)
    assert caught.value.code == "memory-size"


def test_this_machine_and_a_folder_to_come(tmp_path: Path) -> None:
    found = hardware(tmp_path / "not" / "yet")
    assert found.cores >= 1
    assert found.memory_bytes > 0
    assert found.disk_free_bytes > 0


def test_free_port_can_be_bound() -> None:
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))
