import openpyxl
import pytest

from homeroom.data.reading import data_error, read_examples
from homeroom.errors import DataError


def table_records(path, columns=None):
    result = read_examples(path, columns=columns)
    if result.errors:
        raise data_error(path, result.errors)
    return [example.to_dict() for example in result.examples]


def test_csv_with_usual_headings(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        'Question,Answer,Grade,Grade Band,claim,Claim is correct\n"What, then?",Look again.,4,3-5,12,No\n,,,,,\n', "utf-8"
    )
    (record,) = table_records(path)
    assert record["messages"] == [
        {"role": "user", "content": "What, then?"},
        {"role": "assistant", "content": "Look again."},
    ]
    assert record["metadata"] == {"grade": 4, "grade_band": "3-5"}
    assert record["reference"] == {"claim": "12", "claim_is_correct": False}


def test_semicolons_and_named_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Frage;Antwort\nWarum?;Darum?\n", "utf-8")
    with pytest.raises(DataError) as caught:
        table_records(path)
    assert caught.value.code == "columns-unknown" and "'Frage'" in caught.value.message
    (record,) = table_records(path, {"user": "Frage", "assistant": "Antwort"})
    assert record["messages"][1]["content"] == "Darum?"


def test_xlsx_whole_numbers_stay_whole(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["prompt", "reply", "grade"])
    book.active.append(["How?", "Try a smaller case.", 4.0])
    book.save(tmp_path / "b.xlsx")
    (record,) = table_records(tmp_path / "b.xlsx")
    assert record["metadata"] == {"grade": 4, "grade_band": "3-5"}


@pytest.mark.parametrize(
    ("name", "content"), [("x.xlsx", b"not a workbook"), ("x.csv", b"\xff\xfe\x00"), ("x.csv", b"question,answer\n")]
)
def test_wrong_tables(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError):
        table_records(tmp_path / name)
