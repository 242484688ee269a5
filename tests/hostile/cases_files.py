"""Hostile recipes, settings and examples, given to the commands that read them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.hostile.bench import Bench, Case, Run

RECIPES, SETTINGS, TABLES, EXAMPLES = "recipes", "settings", "spreadsheets", "files of examples"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
)
RUN = "!!python/object/apply:os.system ['touch CANARY']"


def put(path: Path, content: str | bytes, bench: Bench) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.replace("CANARY", str(bench.canary)).encode())
    return path


def recipe(content: str | bytes) -> Callable[[Bench], Run]:
    return lambda bench: Run(["tune", "plan", "--dataset", "x", "--recipe", put(bench.folder / "r.yaml", content, bench)])


def special_recipe(make: Callable[[Path], object]) -> Callable[[Bench], Run]:
    def made(bench: Bench) -> Run:
        make(bench.folder / "r.yaml")
        return Run(["tune", "plan", "--dataset", "x", "--recipe", bench.folder / "r.yaml"])

    return made


def settings(content: str) -> Callable[[Bench], Run]:
    def made(bench: Bench) -> Run:
        home = put(bench.folder / "home" / "config.yaml", content, bench).parent
        return Run(["models", "list"], {"HOMEROOM_HOME": str(home)})

    return made


def settings_pipe(bench: Bench) -> Run:
    (bench.folder / "home").mkdir()
    os.mkfifo(bench.folder / "home" / "config.yaml")
    return Run(["models", "list"], {"HOMEROOM_HOME": str(bench.folder / "home")})


def project(path: Path, bench: Bench) -> Run:
    return Run(["init", bench.folder / "project", "--from", path])


def table(name: str, content: str | bytes) -> Callable[[Bench], Run]:
    return lambda bench: project(put(bench.folder / name, content, bench), bench)


def workbook(sheet: bytes, **parts: bytes) -> Callable[[Bench], Run]:
    """A workbook whose only sheet holds ``sheet``."""

    def made(bench: Bench) -> Run:
        path = bench.folder / "t.xlsx"
        main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
        office = "application/vnd.openxmlformats-officedocument.spreadsheetml"
        packages = "http://schemas.openxmlformats.org/package/2006"
        files = {
            "[Content_Types].xml": f'<Types xmlns="{packages}/content-types"><Default Extension="rels" ContentType="'
            f'application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="'
            f'{office}.sheet.main+xml"/><Override PartName="/xl/s.xml" ContentType="{office}.worksheet+xml"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{packages}/relationships"><Relationship Id="r1" Type="{kinds}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
            "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{kinds}"><sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets>'
            "</workbook>",
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{packages}/relationships"><Relationship Id="r1" '
            f'Type="{kinds}/worksheet" Target="s.xml"/></Relationships>',
        }
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(name, text)
            archive.writestr("xl/s.xml", sheet)
            for name, data in parts.items():
                archive.writestr(name, data)
        return project(path, bench)

    return made


def cells(*rows: str) -> bytes:
    return f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{"".join(rows)}</sheetData></worksheet>'.encode()


def cell(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def slipping(bench: Bench) -> Run:
    path = bench.folder / "t.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("../../../evil.py", "/tmp/evil", "xl\\..\\..\\evil"):
            archive.writestr(name, "evil")
    return project(path, bench)


def examples(name: str, content: str | bytes) -> Callable[[Bench], Run]:
    return lambda bench: Run(["data", "split", put(bench.folder / name, content, bench)])


def special_examples(name: str, make: Callable[[Path], object]) -> Callable[[Bench], Run]:
    def made(bench: Bench) -> Run:
        make(bench.folder / name)
        return Run(["data", "split", bench.folder / name])

    return made


HEAD = '<row r="1">' + cell("A1", "question") + cell("B1", "answer") + "</row>"
LINE = '{"messages": [{"role": "user", "content": "%s"}, {"role": "assistant", "content": "b"}]}\n'
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)

CASES = [
    Case(RECIPES, "aliases that multiply to a thousand million values", "recipe-invalid", recipe(BOMB)),
    Case(RECIPES, "a tag that runs a command", "recipe-invalid", recipe(f"task: {RUN}\n")),
    Case(RECIPES, "a tag that makes an object", "recipe-invalid", recipe("task: !!python/object/new:subprocess.Popen [[touch, CANARY]]\n")),
    Case(RECIPES, "a tag as a key", "recipe-invalid", recipe(f"? {RUN}\n: 1\n")),
    Case(RECIPES, "lists nested 10,000 deep", "recipe-invalid", recipe("a: " + "[" * 10_000)),
    Case(RECIPES, "a list as a key", "recipe-invalid", recipe("? [a, b]\n: 1\n")),
    Case(RECIPES, "a date that is none", "recipe-invalid", recipe("task: 2001-99-99\n")),
    Case(RECIPES, "a number of 50,000 digits", "recipe-invalid", recipe("epochs: " + "9" * 50_000 + "\n")),
    Case(RECIPES, "half a megabyte", "file-oversized", recipe("task: tutor\n" + "# \n" * 170_000)),
    Case(RECIPES, "a pickle", "recipe-invalid", lambda bench: recipe(bench.pickle)(bench)),
    Case(RECIPES, "control characters", "recipe-invalid", recipe("task: \x1b[2J\n")),
    Case(RECIPES, "paths and commands as values", "recipe-invalid", recipe("task: ../../etc\nname: $(touch CANARY)\n")),
    Case(RECIPES, "a pipe", "recipe-missing", special_recipe(os.mkfifo)),
    Case(RECIPES, "a link to /dev/zero", "recipe-missing", special_recipe(lambda path: path.symlink_to("/dev/zero"))),
    Case(SETTINGS, "aliases that multiply", "settings", settings(BOMB)),
    Case(SETTINGS, "a tag that runs a command", "settings", settings(f"log_level: {RUN}\n")),
    Case(SETTINGS, "lists nested 10,000 deep", "settings", settings("endpoints: " + "[" * 10_000)),
    Case(SETTINGS, "a date that is none", "settings", settings("log_level: 2001-99-99\n")),
    Case(SETTINGS, "a pipe", "settings", settings_pipe),
    Case(TABLES, "a zip that unpacks to a thousand million bytes", "wrong-file", workbook(b" " * 100_000_000)),
    Case(TABLES, "a zip whose names lead out of the folder", "wrong-file", slipping),
    Case(TABLES, "no zip", "wrong-file", table("t.xlsx", b"PK\x03\x04" + b"\0" * 400)),
    Case(TABLES, "one cell in the last corner", "empty-file", workbook(
        cells(HEAD.replace("question", "x"), '<row r="1048576">' + cell("XFD1048576", "y") + "</row>", '<row r="3">' + cell("A3", "z") + "</row>"))),
    Case(TABLES, "XML entities that multiply", "wrong-file", workbook(LAUGHS.encode() + cells(HEAD, '<row r="2">' + cell("A2", "&amp;&i;") + "</row>"))),
    Case(TABLES, "XML that is none", "wrong-file", workbook(b"<worksheet><sheetData><row")),
    Case(TABLES, "a pipe", "wrong-file", lambda bench: (os.mkfifo(bench.folder / "t.csv"), project(bench.folder / "t.csv", bench))[1]),
    Case(EXAMPLES, "objects nested 100,000 deep", "data-invalid", examples("e.jsonl", '{"messages":' * 100_000 + "\n" + LINE % "a")),
    Case(EXAMPLES, "a number of 10,000 digits", "data-invalid", examples("e.jsonl", '{"messages": ' + "9" * 10_000 + "}\n")),
    Case(EXAMPLES, "half a character", "data-invalid", examples("e.jsonl", LINE % "\\ud800")),
    Case(EXAMPLES, "a pickle", "data-invalid", lambda bench: examples("e.jsonl", b"{" + bench.pickle)(bench)),
    Case(EXAMPLES, "a pipe", "wrong-file", special_examples("e.jsonl", os.mkfifo)),
    Case(EXAMPLES, "a link to /dev/zero", "wrong-file", special_examples("e.jsonl", lambda path: path.symlink_to("/dev/zero"))),
    Case(EXAMPLES, "a name with line breaks and control characters", "data-invalid", examples("\x1b[2Je\nerror: fine\n.jsonl", "{]\n")),
]  # fmt: skip
