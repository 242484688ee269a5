"""Every hostile artifact through the command that would take it in: nothing runs, nothing stays, one clear line says why."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.hostile.bench import Bench, Case, Outcome, Run, Runner
from tests.hostile.cases import CASES

pytestmark = pytest.mark.slow  # many processes, or much arithmetic

CPU_S = 6.0  # what honest work takes at most here, with room; those that do not end never come near
RSS_MB = 700


def environment(home: Path, cache: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "HOMEROOM_HOME": str(home),
        "HOMEROOM_CACHE": str(cache),
        "HOMEROOM_DEFAULT_BASE": "tiny",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }


def check(case: Case, bench: Bench, told: Outcome, home: Path) -> None:
    """What holds of every case."""
    assert told.ran == []
    assert not bench.canary.exists()
    assert "Traceback" not in told.out + told.err
    assert told.rss_mb < RSS_MB
    kept = [path for root in (home / "artifacts", bench.folder / "cache") for path in root.rglob("*") if path.is_file()]
    if not case.code:
        assert (told.code, "error" in told.err) == (0, False), told.err
        texts = [path.read_bytes() for path in kept if path.suffix in (".json", ".gguf")]
        assert texts
        assert not any(text.encode() in content for text in case.left_out for content in texts)
        return
    assert told.code == 2, told.err
    lines = [line for line in told.err.split("\n") if line.startswith("error: ")]
    assert len(lines) == 1, told.err
    assert told.err.endswith(f"{lines[0]}\n")
    assert lines[0].endswith(f"  [help: docs/troubleshooting.md#{case.code}]")
    assert len(lines[0]) < 1_000
    assert all(c.isprintable() for c in told.err.replace("\n", ""))
    assert [path for path in kept if path.name in ("model.gguf", "adapter.gguf") or path.parent.name == "names"] == []
    assert not list(home.parent.glob("**/evil*/**/config.json"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_runs_and_one_line_says_why(
    case: Case, runner: Runner, good: Path, hostile_cache: Path, home: Path, tmp_path: Path
) -> None:
    bench = Bench(tmp_path / "case", good)
    told = runner.run(case.make(bench), bench.folder, environment(home, hostile_cache), tmp_path / "told")
    check(case, bench, told, home)
    assert told.cpu_s < CPU_S


def test_the_good_ones_are_taken_in(runner: Runner, good: Path, hostile_cache: Path, home: Path, tmp_path: Path) -> None:
    """Otherwise the cases above would prove nothing."""
    bench = Bench(tmp_path / "case", good)
    runs = [bench.imported(bench.adapter()), bench.imported_gguf(bench.gguf()), bench.pulled(bench.base())]
    for number, run in enumerate(runs):
        told = runner.run(run, bench.folder, environment(home, hostile_cache), tmp_path / f"told-{number}")
        assert told.code == 0, told.err


def test_what_runs_is_seen(runner: Runner, good: Path, hostile_cache: Path, home: Path, tmp_path: Path) -> None:
    """A command that starts another program on purpose: pip, to ask a package index that is not there."""
    bench = Bench(tmp_path / "case", good)
    env = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "HOMEROOM_CACHE": str(tmp_path / "cache")}
    told = runner.run(
        Run(["models", "pull", "smollm2-135m-instruct"], {**env, "HF_ENDPOINT": f"file://{tmp_path}"}),
        bench.folder,
        environment(home, hostile_cache),
        tmp_path / "told",
    )
    assert told.code == 2
    assert any(event.startswith("subprocess.Popen") for event in told.ran)


def test_the_cases_are_many_and_named_once() -> None:
    assert len(CASES) >= 150
    assert max(Counter(map(str, CASES)).values()) == 1
