"""`homeroom models export` on the command line: what it prints, and its refusals."""

from __future__ import annotations

import pytest


def test_a_base_is_exported_and_the_check_is_told(homeroom, tmp_path):
    told = homeroom("models", "export", "tiny", "--to", "merged", "--out", tmp_path / "out", "--json")
    assert told.code == 0, told.err
    assert told.json["checked"]["passed"] is True
    assert (told.json["to"], told.json["number"]) == ("merged", "f32")
    again = homeroom("models", "export", "tiny", "--to", "merged", "--out", tmp_path / "out")
    assert (again.code, "--force" in again.error) == (2, True)
    told = homeroom("models", "export", "tiny", "--to", "merged", "--out", tmp_path / "out", "--force")
    assert told.code == 0
    assert told.out.startswith(f"tiny as f32: {tmp_path / 'out'} (")
    assert "loaded with transformers and compared with the original" in told.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nobody", "--to", "gguf", "--out", "x"), "nobody"),
        (("tiny", "--to", "merged", "--type", "q4_0", "--out", "x"), "f32, f16, bf16"),
        (("tiny", "--to", "zip", "--out", "x"), "zip"),
        (("tiny", "--to", "gguf"), "--out"),
    ],
)
def test_mistakes_are_one_line(homeroom, tmp_path, arguments, says):
    told = homeroom("models", "export", *arguments)
    assert told.code == 2
    assert says in told.error
    assert not (tmp_path / "x").exists()
