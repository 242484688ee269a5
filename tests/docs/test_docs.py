"""The documentation says what is there: pages are up to date, links lead somewhere, commands exist, codes have entries."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from homeroom.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SEPARATORS = {"|", "||", "&&", ";", "&", ">", ">>", "<"}
# Words for what is not there yet. "TODO" and the like, and figures that somebody means to fill in.
PLACEHOLDERS = re.compile(
    r"\b(TODO|TBD|FIXME|XXX+|N\.NN?|X\.XX?|NN+ ?%)\b|\?\?\?|<(figure|number|n|x|date)>|lorem ipsum", re.IGNORECASE
)
# Pages of the data rule that finds such words in examples.
ABOUT_PLACEHOLDERS = {"docs/reference/data-rules.md", "docs/reference/rules/QUA016.md"}
# Codes that are put together while the program runs, from the name of a form's field.
RUNNING_CODES = {"setting-temperature", "setting-max-tokens"}


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    sys.path.insert(0, str(ROOT / "scripts"))  # as when it is run
    spec = importlib.util.spec_from_file_location("docs_script", ROOT / "scripts" / "docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_reference_links_and_codes_are_up_to_date(docs: ModuleType) -> None:
    assert list(docs.problems()) == []


def test_error_codes_are_found_wherever_they_are_given(docs: ModuleType) -> None:
    codes = docs.error_codes()
    # a class attribute, a keyword, either side of an "if", a positional argument, a table, a local name
    assert {"no-space", "port-taken", "model-files", "old-python", "database-damaged", "provider-quota", "job-crashed"} <= set(
        codes
    )
    assert not {"code", "type", "-", "setting-"} & set(codes)


def test_troubleshooting_has_no_entry_for_what_is_gone(docs: ModuleType) -> None:
    entries = re.findall(r"^### (\S+)$", (ROOT / "docs" / "troubleshooting.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(entries) == sorted(set(entries))
    assert set(entries) - set(docs.error_codes()) == RUNNING_CODES


def test_the_readmes_tree_is_the_tree() -> None:
    tree = re.search(r"^src/homeroom/\n((?:  .*\n)+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert tree is not None
    listed = [line.split()[0] for line in tree[1].splitlines()]
    package = ROOT / "src" / "homeroom"
    folders = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    modules = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    assert sorted(listed) == sorted(folders | modules)


def test_every_benchmark_can_be_run_by_its_name() -> None:
    """A script that does something when it is run is a benchmark, or a helper that ``benchmarks/run.py`` knows as one."""
    folder = ROOT / "benchmarks"
    program = "import json, run; print(json.dumps([run.BENCHMARKS, list(run.LEFT_OUT), run.HELPERS]))"
    told = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True).stdout
    default, left_out, helpers = json.loads(told)
    scripts = [path.stem for path in folder.glob("*.py") if 'if __name__ == "__main__":' in path.read_text("utf-8")]
    assert sorted([*default, *left_out, *helpers]) == sorted(scripts)
    for argument in ("--list", "--help"):
        shown = subprocess.run(
            [sys.executable, "run.py", argument], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        assert all(re.search(rf"^  {name} +\S", shown, re.MULTILINE) for name in (*default, *left_out))
        assert shown.count("left out: ") == len(left_out)


def test_every_page_can_be_reached_from_the_map() -> None:
    seen: set[Path] = set()
    open_pages = [ROOT / "README.md", ROOT / "docs" / "index.md"]
    while open_pages:
        page = open_pages.pop()
        if page in seen:
            continue
        seen.add(page)
        targets = re.findall(r"\]\(([^)#\s:]+\.md)(?:#[^)]*)?\)", page.read_text("utf-8"))
        open_pages += [(page.parent / target).resolve() for target in targets]
    assert [name_of(page) for page in PAGES if page not in seen] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_to_entries_lead_to_one(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text("utf-8")):
        linked = (page.parent / target).resolve() if target else page
        titles = re.findall(r"^#+ (.+)$", linked.read_text("utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_nothing_is_left_to_be_filled_in(page: Path) -> None:
    if name_of(page) in ABOUT_PLACEHOLDERS:
        return
    found = PLACEHOLDERS.search(page.read_text("utf-8"))
    assert found is None, found


def commands(text: str) -> Iterator[str]:
    """Every ``homeroom`` command line: typed in console blocks, in indented lines, and in inline code."""
    console = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    typed = [line.removeprefix("$ ") for block in console for line in block.splitlines() if line.startswith("$ ")]
    typed += [line.strip() for line in prose.splitlines() if line.startswith("    ")]
    yield from (line for line in typed if re.match(r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?homeroom(?: |$)", line))
    yield from (span for span in re.findall(r"`([^`\n]+)`", prose) if span.startswith("homeroom "))


def problem(line: str) -> str:
    """What is wrong with a command line; empty when its command, options and values exist. Nothing is run."""
    words = shlex.split(line, comments=True)
    while words and "=" in words[0]:
        words.pop(0)
    end = next((i for i, word in enumerate(words) if word in SEPARATORS), len(words))
    arguments = [word for word in words[1:end] if word != "..."]
    command: click.Command = cli
    context = click.Context(cli, info_name="homeroom")
    while isinstance(command, click.Group):
        try:
            _, arguments, _ = command.make_parser(context).parse_args(arguments)
        except click.UsageError as error:
            return error.format_message()
        if not arguments:
            return ""
        child = command.get_command(context, arguments[0])
        if child is None:
            return f"no command {arguments[0]!r}"
        context = click.Context(child, info_name=arguments[0], parent=context)
        command, arguments = child, arguments[1:]
    if not arguments and any(isinstance(p, click.Argument) and p.required for p in command.params):
        return ""  # the command named by itself
    try:
        command.make_context(context.info_name, arguments, parent=context.parent)
    except click.exceptions.Exit:
        return ""  # --help
    except click.UsageError as error:
        return error.format_message()
    return ""


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("homeroom tune run --dataset x --task tutor", ""),
        ("HOMEROOM_PORT=0 homeroom --home /tmp/x serve --port 8643 | head", ""),
        ("homeroom tune", ""),
        ("homeroom tune run --recipes x", "No such option"),
        ("homeroom tune run --task teacher", "Invalid value"),
        ("homeroom tunes", "no command"),
        ("homeroom data nothing", "no command"),
        ("homeroom models show a b", "unexpected extra argument"),
        ("homeroom init folder", "Missing option"),
    ],
)
def test_what_counts_as_a_command_that_exists(line: str, wrong: str) -> None:
    found = problem(line)
    assert (wrong in found) if wrong else found == ""


WRITTEN = [page for page in PAGES if page.parent.name != "reference"]  # the others are made from the commands themselves


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_every_command_in_the_documentation_exists(page: Path) -> None:
    wrong = {line: found for line in commands(page.read_text("utf-8")) if (found := problem(line))}
    assert wrong == {}


def test_commands_are_found_where_they_stand() -> None:
    text = "Run `homeroom doctor`.\n\n```console\n$ homeroom data split\n$ cat > a <<'END'\nhomeroom nothing\nEND\n```\n\n    homeroom serve\n"
    assert sorted(commands(text)) == ["homeroom data split", "homeroom doctor", "homeroom serve"]


def test_the_lines_of_python_run() -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    done = subprocess.run([sys.executable, "-c", blocks[0]], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "{'train': 307, 'validation': 35, 'test': 150}\n"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_in_the_documentation_is_python(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        compile(block, name_of(page), "exec")
