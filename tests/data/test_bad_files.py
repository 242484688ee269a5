"""Files that are broken, hostile or huge: a clear error with the line, or a correct read; never a crash, never silent loss."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from pathlib import Path

import openpyxl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from homeroom.data.convert import write_examples
from homeroom.data.lint.config import LintConfig
from homeroom.data.lint.run import lint
from homeroom.data.reading import load_examples, read_examples
from homeroom.errors import DataError, HomeroomError
from homeroom.schema.examples import Example, Message


def record(n=0, **more):
    turns = [{"role": "user", "content": f"What is {n} + 3? – é"}, {"role": "assistant", "content": f"Count on from {n}. 👩🏽‍🏫"}]
    return {"messages": turns, **more}


def examples(count):
    return [Example.from_dict(record(n, metadata={"topic": f"t{n}"})) for n in range(count)]


def rules(path):
    return [(p.line, p.rule) for p in read_examples(path).problems if p.severity == "error"]


def jsonl(path, *lines):
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines) + b"\n")
    return path


GOOD = json.dumps(record(1)).encode()


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".xlsx", ".parquet", ""])
def test_a_file_cut_at_any_byte_is_an_error_or_read_as_far_as_it_goes(tmp_path, suffix):
    whole = examples(4)
    target = tmp_path / f"whole{suffix}"
    write_examples(lambda: whole, target)
    data_file = target / "data-00000-of-00001.arrow" if suffix == "" else target
    data = data_file.read_bytes()
    step = 1 if len(data) < 1500 else 37
    for cut in range(0, len(data), step):
        data_file.write_bytes(data[:cut])
        try:
            result = read_examples(target)
        except HomeroomError as error:
            assert error.message and "\n" not in error.message
            continue
        found = [e.id for e in result.examples]
        if result.problems:
            assert all(p.line > 0 for p in result.problems)
        elif suffix in (".jsonl", ".csv", ".tsv"):
            # A cut that leaves whole lines, or a shorter last cell, cannot be told from a shorter file.
            assert found[:-1] == [e.id for e in whole[: len(found) - 1]]
        else:
            assert found == [e.id for e in whole]
    data_file.write_bytes(data)
    assert [e.id for e in load_examples(target)] == [e.id for e in whole]


@settings(max_examples=150, deadline=None)
@given(
    suffix=st.sampled_from([".jsonl", ".json", ".csv", ".xlsx", ".parquet"]),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_a_flipped_byte_never_crashes(tmp_path_factory, suffix, flips):
    target = tmp_path_factory.mktemp("flip") / f"f{suffix}"
    write_examples(lambda: examples(3), target)
    raw = bytearray(target.read_bytes())
    for place, value in flips:
        raw[int(place * len(raw))] = value
    target.write_bytes(bytes(raw))
    try:
        read_examples(target)
    except HomeroomError as error:
        assert error.message


@settings(max_examples=120, deadline=None)
@given(raw=st.binary(max_size=200), suffix=st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".xlsx", ".parquet", ".txt"]))
def test_any_bytes_end_in_an_error_or_a_read(tmp_path_factory, raw, suffix):
    target = tmp_path_factory.mktemp("bytes") / f"f{suffix}"
    target.write_bytes(raw)
    try:
        read_examples(target)
    except HomeroomError as error:
        assert error.message and error.code


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (GOOD[:-5], "json-invalid"),
        (GOOD + GOOD, "json-invalid"),
        (GOOD.replace(b"Count", b"Co\xfcnt"), "encoding-invalid"),
        (b'{"messages": [' + b"[" * 10_000 + b"]" * 10_000 + b"]}", "nesting-too-deep"),
        (json.dumps(record(1, metadata={"a": json.loads("[" * 80 + "]" * 80)})).encode(), "nesting-too-deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nesting-too-deep"),
        (GOOD[:-1] + b', "metadata": {"x": NaN}}', "number-not-finite"),
        (GOOD[:-1] + b', "metadata": {"x": -Infinity}}', "number-not-finite"),
        (GOOD[:-1] + b', "metadata": {"x": 1e999}}', "number-not-finite"),
        (GOOD[:-1] + b', "metadata": {"x": ' + b"1" * 5000 + b"}}", "number-not-finite"),
        (GOOD[:-1] + b', "metadata": {"grade": 1, "grade": 2}}', "key-duplicate"),
        (GOOD[:-1] + b', "messages": []}', "key-duplicate"),
        (GOOD.replace(b"Count", b"Co\\u0000unt"), "character-invalid"),
        (GOOD.replace(b"Count", b"Co\\ud800unt"), "character-invalid"),
        (GOOD.replace(b"Count", b"Co\0unt"), "json-invalid"),
        (b"{", "json-invalid"),
        (b"null", "record-not-object"),
        (b'"text"', "record-not-object"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_broken_line_is_told_with_its_number_and_the_others_are_read(tmp_path, line, rule):
    path = jsonl(tmp_path / "a.jsonl", GOOD, line, record(2))
    assert rules(path) == [(2, rule)]
    assert len(read_examples(path).examples) == 2
    found = lint(path, select=("STR",), config=LintConfig()).findings
    assert [(f.line, f.name) for f in found if f.severity == "error"] == [(2, rule)]
    array = tmp_path / "a.json"
    array.write_bytes(b"[" + GOOD + b",\n" + line + b",\n" + json.dumps(record(2)).encode() + b"]")
    told = rules(array)
    assert told and told[0][0] in (1, 2), told


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_marks_and_line_ends_of_other_systems_are_read(tmp_path, bom, end):
    path = tmp_path / "a.jsonl"
    path.write_bytes(bom + GOOD + end + end + bom + json.dumps(record(2)).encode() + end)
    assert rules(path) == [] and len(load_examples(path)) == 2
    table = tmp_path / "a.csv"
    table.write_bytes(bom + b"question,answer" + end + b"What?,Look." + end)
    assert [m.content for m in load_examples(table)[0].messages] == ["What?", "Look."]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "shift-jis"])
def test_other_encodings_are_refused_with_the_reason(tmp_path, encoding):
    text = '{"messages": [{"role": "user", "content": "né"}, {"role": "assistant", "content": "ü"}]}\n'
    path = tmp_path / "a.jsonl"
    path.write_bytes(text.encode(encoding, errors="replace").replace(b"n?", b"n\x81"))
    try:
        result = read_examples(path)
    except DataError as error:
        assert "UTF-8" in error.message
    else:
        assert result.problems[0].line == 1 and not result.examples


def test_a_line_over_the_limit_is_rejected_unread_and_the_rest_is_read(tmp_path):
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(GOOD + b"\n" + b'{"messages": "')
        for _ in range(9):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n' + json.dumps(record(2)).encode() + b"\n")
        file.write(b"y" * (9 << 20))  # and one at the end, without a line end
    assert rules(path) == [(2, "line-too-long"), (4, "line-too-long")]
    assert len(read_examples(path).examples) == 2


def test_memory_stays_bounded_by_the_limit_not_by_the_line(tmp_path):
    path = tmp_path / "huge.jsonl"
    with path.open("wb") as file:
        file.truncate(200 << 20)  # 200 MB of NUL in one line, sparse on the disk
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            load_examples(path)
        assert rules(path) == [(1, "line-too-long")]
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


def test_an_object_over_the_limit_in_a_list_is_refused(tmp_path):
    path = tmp_path / "long.json"
    path.write_bytes(b"[" + GOOD + b', {"a": "' + b"x" * (10 << 20) + b'"}]')
    assert rules(path) == [(1, "line-too-long")]


def test_a_list_of_objects_is_read_as_a_stream_with_lines(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([record(n) for n in range(5000)], indent=1))
    assert len(load_examples(path)) == 5000
    broken = path.read_text().replace('"role": "user"', '"role": "teacher"', 1)
    path.write_text(broken)
    (problem,) = read_examples(path).problems
    assert problem.rule == "role-unknown" and problem.line == 2


def test_one_object_over_several_lines_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(record(1), indent=2))
    with pytest.raises(DataError, match="over several lines"):
        read_examples(path)


def test_formulas_without_a_result_and_errors_in_cells_are_told(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["question", "answer", "grade"])
    book.active.append(["Half of 14?", "Draw it.", 2])
    book.active.append(['="Half of "&8', "Draw it.", 2])
    book.active.append(["Half of 6?", "Draw it.", "#N/A"])
    book.save(tmp_path / "a.xlsx")
    problems = read_examples(tmp_path / "a.xlsx").problems
    assert [p.line for p in problems] == [3, 4]
    assert "A3" in problems[0].message and "formula" in problems[0].message
    assert "#N/A" in problems[1].message
    assert len(read_examples(tmp_path / "a.xlsx").examples) == 1


def bomb(path, name="xl/worksheets/sheet1.xml", size=1 << 30):
    book = openpyxl.Workbook()
    book.active.append(["question", "answer"])
    book.active.append(["a", "b"])
    book.save(path)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open(f"extra/{name}", "w", force_zip64=True) as part,
    ):
        zeros = b"\0" * (1 << 20)
        for _ in range(size >> 20):
            part.write(zeros)


def test_a_workbook_that_unpacks_without_end_is_refused(tmp_path):
    bomb(tmp_path / "bomb.xlsx", size=100 << 20)
    assert (tmp_path / "bomb.xlsx").stat().st_size < 1 << 20
    with pytest.raises(DataError, match="unpacks to"):
        read_examples(tmp_path / "bomb.xlsx")


@pytest.mark.parametrize("as_dictionary", [True, False])
def test_a_parquet_file_that_unpacks_without_end_is_refused(tmp_path, as_dictionary):
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), pa.array(["x" * (1 << 20)]))
    table = pa.table({"prompt": column, "completion": column})  # 6 GB of text, 1 MB in memory, less on the disk
    parquet.write_table(table, tmp_path / "bomb.parquet", compression="zstd", store_schema=as_dictionary)
    assert (tmp_path / "bomb.parquet").stat().st_size < 1 << 20
    with pytest.raises(DataError, match="unpacks to"):
        load_examples(tmp_path / "bomb.parquet")


def test_values_that_json_does_not_have_are_told_with_their_row(tmp_path):
    table = pa.table({"prompt": ["a", "b", "c"], "completion": ["x", "y", "z"], "score": [1.0, float("nan"), 2.0]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert rules(tmp_path / "a.parquet")[0] == (2, "number-not-finite")
    parquet.write_table(pa.table({"prompt": ["a"], "completion": [b"\xff"]}), tmp_path / "b.parquet")
    assert rules(tmp_path / "b.parquet") == [(1, "content-missing")]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('question,answer\n"What?,Look.\n', 2, "quotation mark"),
        ("question,answer\nWhat?,Look.,again\n", 2, "without a heading"),
        ("question,answer,answer\na,b,c\n", 0, "two columns"),
        ("question,answer\na,b\n\n", None, ""),
    ],
)
def test_tables_that_would_lose_cells_are_errors(tmp_path, text, line, says):
    path = tmp_path / "a.csv"
    path.write_text(text)
    try:
        problems = read_examples(path).problems
    except DataError as error:
        assert line == 0 and says in error.message
        return
    assert [p.line for p in problems if p.severity == "error"] == ([] if line is None else [line])
    assert all(says in p.message for p in problems if p.severity == "error")


def test_other_files_by_their_content(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"PK\x03\x04 whatever")
    with pytest.raises(DataError, match=r"\.xlsx"):
        read_examples(tmp_path / "a.jsonl")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="folder"):
        read_examples(tmp_path / "folder")


def test_a_folder_of_splits_says_which_split_each_example_is_in(tmp_path):
    for split, some in (("train", examples(3)), ("test", examples(5)[3:])):
        write_examples(lambda some=some: some, tmp_path / "set" / split)
    found = load_examples(tmp_path / "set")
    assert [e.metadata["split"] for e in found] == ["train"] * 3 + ["test"] * 2


def test_nothing_is_written_when_a_source_is_broken(tmp_path):
    source = jsonl(tmp_path / "a.jsonl", GOOD, b"{oops", record(3))
    from homeroom.app.project import convert_file

    for name in ("b.jsonl", "b.csv", "b.xlsx", "b.parquet", "b"):
        with pytest.raises(DataError):
            convert_file(source, tmp_path / name)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl"]


def test_a_text_that_excel_would_cut_is_left_out_and_told(tmp_path):
    long = Example((Message("user", "q"), Message("assistant", "x" * 40_000)))
    done = write_examples(lambda: [long, *examples(1)], tmp_path / "a.xlsx")
    assert done.examples == 1 and done.dropped == {"examples with a text of more than 32,767 characters": 1}
    assert len(load_examples(tmp_path / "a.xlsx")) == 1


def test_a_script_without_a_guard_may_check_a_large_file(tmp_path):
    import subprocess
    import sys

    path = tmp_path / "many.jsonl"
    jsonl(path, *(record(n) for n in range(300)), b"{oops")
    script = tmp_path / "script.py"
    script.write_text(
        "from homeroom.data.lint.run import lint\n"
        f"found = lint({str(path)!r}, select=('STR001',), jobs=2)\n"
        "print([f.line for f in found.findings], found.summary['records'])\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=Path(tmp_path), check=False)
    assert (done.stdout, done.stderr) == ("[301] 301\n", "")
