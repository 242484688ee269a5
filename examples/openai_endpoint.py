"""Fine-tuning through OpenAI's API: files, a job, its events and a model, at OpenAI or on your own server.

    python examples/openai_endpoint.py                               Homeroom's own server: free, nothing leaves
    python examples/openai_endpoint.py --base openai/gpt-4.1-mini     where the settings name that endpoint

The plan says what it costs before anything is sent; without `--yes` nothing is spent. A run that was interrupted is followed
where it stands: no job is paid for twice.
"""

import argparse
import math

import homeroom

parser = argparse.ArgumentParser(description="Tune a tutor of reading through OpenAI's fine-tuning API.")
parser.add_argument("--base", default="", help="ENDPOINT/MODEL; a base of this machine is tuned by Homeroom's own server.")
parser.add_argument("--epochs", type=int, default=1, help="Times every example is seen.")
parser.add_argument("--examples", type=int, default=20, help="Examples to send, from 10 on.")
parser.add_argument("--yes", action="store_true", help="Spend what the plan says.")
arguments = parser.parse_args()

QUESTION = "'The bark of the oak was rough.' What is bark? I say it's the noise that a dog makes."

with homeroom.open() as home:
    base = homeroom.fetch(home, arguments.base)

    examples = [e for e in homeroom.load_course() if e.task == "tutor" and e.metadata["subject"] == "reading"]
    dataset = home.datasets.create("reading-tutor", examples)
    recipe = {
        "name": "reading",
        "method": "openai",
        "task": "tutor",
        "base": base,
        "system_prompt": "You are a patient tutor of reading. Give one step, and ask one question.",
        "epochs": arguments.epochs,
        "max_examples": arguments.examples,
        "delete_files": True,
        "generation": {"temperature": 0.0, "max_tokens": 80},
    }
    planned = homeroom.plan(home, dataset.info.id, recipe)
    money = f"about ${planned.cost_usd:.2f}" if planned.details["priced"] else "a price that is not known (homeroom costs prices)"
    print(f"{planned.examples} examples of reading to {base}: {money}.")
    if planned.details["counted"] and not arguments.yes:
        raise SystemExit("Nothing was sent. If that is fine: --yes")

    spend = math.inf if arguments.yes else 0.0
    (model, *_checkpoints) = homeroom.tune(home, dataset.info.id, recipe, spend=spend)
    print(f"Tuned {model.name}, of the kind {model.kind}")

    with homeroom.conversation(home, model.name, spend=spend) as conversation:
        print(f"\nLearner: {QUESTION}\nTutor: {conversation.ask(QUESTION)}")
