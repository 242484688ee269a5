"""`homeroom data fix | convert | show | stats | diff | merge | sample | versions`, as a person uses them."""

from __future__ import annotations

import json
import stat

import pytest

from homeroom.chat.conversations import ConversationStore
from homeroom.chat.feedback import FeedbackStore
from homeroom.storage import Database
from homeroom.storage.scope import LOCAL
from homeroom.storage.tables import new_id
from tests.app import material


def chat(database, *pairs):
    """A conversation; each pair is what was said, and what was said of the reply."""
    store, feedback = ConversationStore(database), FeedbackStore(database)
    conversation = store.create(LOCAL, title="Fractions")
    for said, reply, told in pairs:
        user = store.add_user(LOCAL, conversation.id, said)
        turn = store.add_reply(LOCAL, user, turn_id=new_id("turn"), text=reply, model="base", settings={}, finish_reason="stop")
        if told:
            feedback.save(LOCAL, turn.id, **told)
    return conversation.id


@pytest.fixture
def chats(home, homeroom):
    homeroom("data", "versions")  # makes the home
    database = Database.for_home(home)
    yield lambda *pairs: chat(database, *pairs)
    database.close()


def test_fix_shows_a_diff_and_mends_only_when_told(homeroom, tmp_path):
    record = material.tutor_records()[0]
    record["messages"][1]["content"] += " "
    path = material.write_jsonl(tmp_path / "mine.jsonl", [record, *material.tutor_records()[1:]])
    before = path.read_bytes()
    shown = homeroom("data", "fix", "mine.jsonl", "--select", "STR034")
    assert (shown.code, path.read_bytes()) == (0, before)
    assert "mine.jsonl:1 message 1  STR034" in shown.out and "homeroom data fix mine.jsonl --apply" in shown.out
    done = homeroom("data", "fix", "mine.jsonl", "--select", "STR034", "--apply", "--json").json
    assert done["applied"] and done["original"] == "mine.jsonl.original" and done["redactions"] is None
    assert (tmp_path / "mine.jsonl.original").read_bytes() == before
    assert homeroom("data", "check", "mine.jsonl", "--select", "STR").code == 0
    assert "without a person" in homeroom("data", "fix", "mine.jsonl", "--select", "STR034", "--apply").out


def test_redaction_and_its_restoration(homeroom, tmp_path):
    record = {
        "messages": [
            {"role": "user", "content": "My mail is tomas.reyes@schule-nord.de, write to me."},
            {"role": "assistant", "content": "Let us finish here. What is 20.25 - 4.50?"},
        ],
        "metadata": {"topic": "mail"},
    }
    path = material.write_jsonl(tmp_path / "mine.jsonl", [record])
    done = homeroom("data", "fix", "mine.jsonl", "--select", "SAF", "--apply", "--json").json
    assert "tomas" not in path.read_text() and "20.25 - 4.50" in path.read_text()
    private = tmp_path / done["redactions"]
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    told = homeroom("data", "fix", "mine.jsonl", "--restore", private)
    assert told.out == "1 example of mine.jsonl read as before.\n"
    assert json.loads(path.read_text())["messages"] == record["messages"]


@pytest.mark.parametrize("name", ["out.json", "out.csv", "out.tsv", "out.xlsx", "out.parquet", "folder"])
def test_convert_there_and_back_keeps_everything(homeroom, tmp_path, course, name):
    homeroom("data", "convert", course, "first.jsonl")
    told = homeroom("data", "convert", "first.jsonl", name, "--json").json
    assert told["examples"] == 36 and told["dropped"] == {}
    assert homeroom("data", "convert", name, "back.jsonl").out == "36 examples written to back.jsonl\n"
    back, first = ([json.loads(line) for line in (tmp_path / n).read_text().splitlines()] for n in ("back.jsonl", "first.jsonl"))
    assert back == first


def test_convert_says_what_is_lost(homeroom, tmp_path, course):
    told = homeroom("data", "convert", course, "openai.jsonl", "--to", "openai")
    assert "metadata: 36" in told.out and "reference: 36" in told.out
    assert set(json.loads((tmp_path / "openai.jsonl").read_text().splitlines()[0])) == {"messages"}
    assert "#nothing-left" in homeroom("data", "convert", course, "p.jsonl", "--to", "preference").error
    assert not (tmp_path / "p.jsonl").exists()
    assert "#format-unknown" in homeroom("data", "convert", course, "p.pdf").error
    assert "#format-unknown" in homeroom("data", "convert", course, "p.csv", "--to", "dspy").error
    assert "#format-unknown" in homeroom("data", "convert", course, "p.jsonl", "--to", "mathdial").error


def test_chats_become_examples_only_with_consent(homeroom, tmp_path, course, chats):
    homeroom("data", "split", course, "--name", "mine")
    chats(
        (
            "1/2 + 1/3 is 2/5.",
            "Right!",
            {"thumb": "down", "better_answer": "What size of piece fits both?", "consent": "granted"},
        ),
        ("Sixths?", "Yes. How many sixths is a half?", {"thumb": "up", "consent": "granted"}),
        ("Three?", "Good.", {"better_answer": "And a third?", "consent": "refused"}),
        ("Two!", "So?", {"better_answer": "How many are that together?"}),
    )
    told = homeroom("data", "merge", "mine", "--feedback", "--json").json
    assert (told["added"], len(told["refused"]), told["from"]) == (2, 2, {"feedback": 2})
    assert (told["version"]["version"], told["version"]["counts"]["changes"]["added"]) == (2, 2)
    records = [json.loads(line) for line in export(homeroom, tmp_path, "mine@2").splitlines()]
    better = next(r for r in records if r["messages"][-1]["content"] == "What size of piece fits both?")
    assert better["metadata"]["origin"]["kind"] == "correction" and better["metadata"]["consent"] == "granted"
    assert better["rejected"] == [{"role": "assistant", "content": "Right!"}]
    again = homeroom("data", "merge", "mine", "--feedback")
    assert "Nothing new: no version was made." in again.out and "2 examples known already" in again.out
    assert "left out: feedback" in again.out
    by_teacher = homeroom("data", "merge", "mine", "--feedback", "--teacher", "--json").json
    assert by_teacher["added"] == 1 and len(by_teacher["refused"]) == 1  # a refusal counts whoever speaks


def export(homeroom, folder, reference):
    homeroom("data", "convert", reference, "export.jsonl", "--force")
    return (folder / "export.jsonl").read_text()


def test_chats_are_exported_for_their_owner_alone(homeroom, tmp_path, chats):
    identity = chats(("Half of 9?", "Share 9 dots.", {"thumb": "up", "consent": "granted"}))
    assert homeroom("data", "convert", "chats", "chats.jsonl").out == "1 chat written to chats.jsonl\n"
    path = tmp_path / "chats.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["conversation"] == identity
    (shown,) = homeroom("data", "show", "chats.jsonl", "--json").json
    assert shown["metadata"]["origin"]["kind"] == "praise"
    assert homeroom("data", "convert", "chats", "chats.jsonl").code == 2


def test_merging_files_makes_a_child_that_keeps_the_split(homeroom, tmp_path, course):
    homeroom("data", "split", course, "--name", "mine")
    new = {"messages": [{"role": "user", "content": "Where is north?"}, {"role": "assistant", "content": "Find the sun."}]}
    material.write_jsonl(tmp_path / "more.jsonl", [new, material.tutor_records()[0]])
    told = homeroom("data", "merge", "mine", "more.jsonl")
    assert "1 example from more.jsonl" in told.out and "1 example known already" in told.out and "mine@2" in told.out
    difference = homeroom("data", "diff", "mine@1", "mine@2", "--json").json
    assert difference["counts"] == {"added": 1, "removed": 0, "changed": 0, "moved": 0, "same": 36}
    assert difference["added"][0]["metadata"]["origin"] == {"kind": "file", "name": "more.jsonl"}
    assert "mine@1 → mine@2: 1 added" in homeroom("data", "diff", "mine@1", "mine@2").out
    card = homeroom("data", "versions", "mine@2").out
    assert "Grown from mine@1: 1 added." in card and "Merged: 1 from more.jsonl." in card
    listed = homeroom("data", "versions", "--models").out
    assert "+1" in listed.splitlines()[1] and "models" in listed.splitlines()[0]
    assert homeroom("data", "merge", "nobody@3", "more.jsonl").code == 2
    assert homeroom("data", "merge", "fresh", course).code == 0


def test_diff_of_two_files_names_the_fields(homeroom, tmp_path):
    one, two = material.tutor_records()[:2]
    material.write_jsonl(tmp_path / "a.jsonl", [one, two])
    changed = {**one, "metadata": {**one["metadata"], "grade": 7}}
    material.write_jsonl(tmp_path / "b.jsonl", [changed, two])
    told = homeroom("data", "diff", "a.jsonl", "b.jsonl").out
    assert "0 added, 0 removed, 1 changed" in told
    assert "metadata.grade\n    - 2\n    + 7\n" in told


def test_samples_of_a_version_share_their_held_out_part(homeroom, course):
    homeroom("data", "split", course, "--name", "mine")
    whole = homeroom("data", "versions", "--json").json[0]["counts"]["splits"]
    made = homeroom("data", "sample", "mine", "--sizes", "5,10", "--json").json
    assert [(v["name"], v["counts"]["splits"]["train"], v["counts"]["splits"]["test"]) for v in made] == [
        ("mine-5", 5, whole["test"]),
        ("mine-10", 10, whole["test"]),
    ]
    nested = homeroom("data", "diff", "mine-5", "mine-10", "--json").json["counts"]
    assert (nested["added"], nested["removed"], nested["changed"]) == (5, 0, 0)
    assert "#sample-size" in homeroom("data", "sample", "mine", "--sizes", "5000").error
    assert "#sample-size" in homeroom("data", "sample", "mine", "--sizes", "few").error


def test_samples_of_a_file_are_files_beside_it(homeroom, tmp_path):
    material.write_jsonl(tmp_path / "mine.jsonl", material.tutor_records())
    assert (
        homeroom("data", "sample", "mine.jsonl", "--sizes", "3,6").out
        == "3 examples in mine-3.jsonl\n6 examples in mine-6.jsonl\n"
    )
    small, large = ((tmp_path / f"mine-{n}.jsonl").read_text().splitlines() for n in (3, 6))
    assert set(small) <= set(large) and (len(small), len(large)) == (3, 6)


def test_stats_count_and_measure(homeroom, course):
    told = homeroom("data", "stats", course)
    assert told.out.startswith("small-course: 36 examples\n") and "mathematics 8" in told.out
    data = homeroom("data", "stats", course, "--base", "tiny", "--json").json
    assert data["by_task"] == {"tutor": 24, "learner": 12}
    assert data["tokens"]["sum"] > data["loss_tokens"]["sum"] > 0
    homeroom("data", "split", course, "--name", "mine")
    assert set(homeroom("data", "stats", "mine", "--json").json["by_split"]) == {"train", "validation", "test"}


def test_show_marks_the_tokens_that_carry_loss(homeroom, course):
    (row,) = homeroom("data", "show", course, "-n", "1", "--tokens", "--base", "tiny", "--json").json
    assert len(row["ids"]) == len(row["loss"]) == len(row["texts"]) == row["tokens"]
    learned = "".join(text for text, carries in zip(row["texts"], row["loss"], strict=True) if carries)
    assert "You shared 14." in learned and "Half of 14" not in learned
    told = homeroom("data", "show", course, "--line", "1", "--tokens", "--base", "tiny").out
    assert f"{row['loss_tokens']} carry loss" in told and "⟦" in told
    assert homeroom("data", "show", course, "--tokens", "--base", "nobody").code == 2


def test_check_of_a_version_knows_its_splits(homeroom, course):
    homeroom("data", "split", course, "--name", "mine")
    assert homeroom("data", "check", "mine", "--select", "STR", "--select", "LEA").code == 0
    assert homeroom("data", "check", "nobody").code == 2
    told = homeroom("data", "check", course, "--base", "tiny", "--max-tokens", "20", "--select", "STR043", "--json")
    assert told.code == 1 and len(told.json["findings"]) == 36
    assert homeroom("data", "check", course, "--method", "huggingface", "--select", "STR041", "--json").json["findings"]


def test_words_without_consent_are_refused_by_name(homeroom, tmp_path):
    record = material.tutor_records()[0]
    record["metadata"]["source"] = "learner"
    material.write_jsonl(tmp_path / "mine.jsonl", [*material.tutor_records(), record])
    assert homeroom("data", "split", "mine.jsonl").code == 2
    found = homeroom("data", "check", "mine.jsonl", "--select", "COS", "--json")
    assert found.code == 1 and [f["code"] for f in found.json["findings"]] == ["COS002"]


def test_a_report_on_a_version_knows_its_name_and_splits(homeroom, course, tmp_path):
    homeroom("data", "split", course)
    told = homeroom("data", "report", "small-course@1", "--json")
    assert told.code == 0, told.err
    page = tmp_path / "small-course@1.report.html"
    assert (told.json["report"], told.json["summary"]["examples"]) == (page.name, 36)
    assert "Training data: small-course@1" in page.read_text()
    assert "#dataset-not-found" in homeroom("data", "report", "nothing@1").error
