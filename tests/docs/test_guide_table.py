"""The table of the guide's lines on optimising and on resources: each has a command that exists, a key that exists, or both, and a page."""

from __future__ import annotations

import re
import shlex
import sys
from collections import Counter
from pathlib import Path

import click
import pytest

from homeroom.cli.main import cli

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import docs_guide  # noqa: E402 - a script
import docs_recipe  # noqa: E402 - a script


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made on a site."""
    heads = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_line_of_both_sections_is_there_once() -> None:
    assert Counter(line.part for line in docs_guide.LINES) == {"DSPy": 4, "OpenAI": 5, "Hugging Face": 6, "Resources": 5}
    assert len({line.says for line in docs_guide.LINES}) == 20


@pytest.mark.parametrize("line", docs_guide.LINES, ids=lambda line: line.says[:30])
def test_its_command_its_keys_and_its_page_exist(line: docs_guide.Line) -> None:
    page, _, anchor = line.page.partition("#")
    assert (ROOT / "docs" / page).is_file() and (not anchor or anchor in anchors(ROOT / "docs" / page)), line.page
    for key in line.keys:
        method, _, name = key.partition(".")
        keys = docs_recipe.keys(docs_recipe.METHODS[method], "sweep." if method == "SWEEP" else "", method)
        assert name in {known for known, *_ in keys}, key
    if line.command:
        _, *words = shlex.split(line.command)
        command: click.Command = cli
        context = click.Context(cli, info_name="homeroom")
        while isinstance(command, click.Group) and words:
            child = command.get_command(context, words.pop(0))
            assert child is not None, line.command
            command, context = child, click.Context(child, parent=context)
        command.make_context("x", words, parent=context.parent)


def test_the_table_stands_on_the_page() -> None:
    assert docs_guide.block() in (ROOT / "docs/best-practices.md").read_text("utf-8")
