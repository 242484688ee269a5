"""A double as an endpoint of a home's settings: ``school``, with its key in the environment as ``SCHOOL_API_KEY``."""

from __future__ import annotations

from pathlib import Path


def name_school(home: Path, address: str, *models: str) -> None:
    """Write the home's settings: the endpoint ``school`` at ``address``, offering ``models``."""
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(
        f"endpoints: [{{name: school, base_url: '{address}', models: [{', '.join(models)}], api_key_env: SCHOOL_API_KEY}}]\n"
    )
