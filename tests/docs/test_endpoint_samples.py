"""Every sample of `endpoints:` in the pages is one that the settings take as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from homeroom.settings import load_settings

PAGES = Path(__file__).parents[2] / "docs"
SAMPLES = [
    (page.name, text)
    for page in sorted(PAGES.rglob("*.md"))
    for text in re.findall(r"^```yaml\n(endpoints:\n  - name:.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize(("page", "text"), SAMPLES, ids=[f"{page}-{n}" for n, (page, _) in enumerate(SAMPLES)])
def test_a_sample_of_endpoints_is_read_as_it_is_written(page: str, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOMEROOM_HOME", str(tmp_path))
    (tmp_path / "config.yaml").write_text(text)
    found = load_settings().endpoints
    assert [e.name for e in found] == re.findall(r"name: (\S+)", text)
    assert all(e.models and e.base_url.endswith("/v1") for e in found)


def test_the_providers_of_the_tuning_page_are_among_them() -> None:
    names = {name for page, text in SAMPLES for name in re.findall(r"name: (\S+)", text) if page == "tune-with-openai.md"}
    assert {"openai", "azure", "nebius"} <= names
