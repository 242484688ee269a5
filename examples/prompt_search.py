"""A better prompt instead of new weights: DSPy tries several and keeps the one whose replies pass most checks.

    python -m pip install 'homeroom[dspy]'
    python examples/prompt_search.py

With a dozen examples, or with a model whose weights are elsewhere (`--base ENDPOINT/MODEL`), this is the method to begin with.
The budget of calls is held. What comes out are plain messages: they can be read, and sent to any chat API without DSPy.
"""

import argparse
import math

import homeroom

parser = argparse.ArgumentParser(description="Search for the best prompt of a tutor with DSPy.")
parser.add_argument("--base", default="", help="Base model, or ENDPOINT/MODEL; the default base when omitted.")
parser.add_argument("--calls", type=int, default=60, help="Most calls of the model, all in all.")
parser.add_argument("--yes", action="store_true", help="Spend what the plan says, where calls cost money.")
arguments = parser.parse_args()

QUESTION = "Which is larger, 0.5 or 0.45? I say 0.45, because 45 is more than 5."

with homeroom.open() as home:
    base = homeroom.fetch(home, arguments.base)

    examples = [e for e in homeroom.load_course() if e.task == "tutor" and e.metadata["grade_band"] == "3-5"]
    dataset = home.datasets.create("tutor-grades-3-to-5", examples)
    recipe = {
        "name": "best-prompt",
        "method": "dspy",
        "task": "tutor",
        "base": base,
        "system_prompt": "You are a patient tutor. Give one step, ask one question, and never give the answer.",
        "optimisers": ["plain", "zero-shot", "labelled"],  # cheapest first; "bootstrap" and others attempt the examples as well
        "max_calls": arguments.calls,
        "items": 6,
        "demonstrations": 2,
        "generation": {"temperature": 0.0, "max_tokens": 64},
    }
    planned = homeroom.plan(home, dataset.info.id, recipe)
    money = f"about ${planned.cost_usd:.2f}" if planned.details["priced"] else "a price that is not known (homeroom costs prices)"
    print(f"At most {arguments.calls} calls of {base}, {money}.")
    if planned.details["counted"] and not arguments.yes:
        raise SystemExit("Nothing was spent. If that is fine: --yes")
    spend = math.inf if arguments.yes else 0.0
    (model,) = homeroom.tune(home, dataset.info.id, recipe, spend=spend)
    print(f"Tuned {model.name}")

    shown = homeroom.shown_prompt(home, model.name, QUESTION)
    print("\nWhat was tried, best first:")
    for tried in (row for row in shown.candidates if "selection_score" in row):
        print(f"  {tried['candidate']:24} {tried['selection_score']:.2f} of the checks passed")
    print("\nThe prompt that was kept, as any chat API takes it:")
    for message in shown.prompts[0]:
        print(f"  [{message.role}] {message.content[:100]}")

    with homeroom.conversation(home, model.name, spend=spend) as conversation:
        print(f"\nLearner: {QUESTION}\nTutor: {conversation.ask(QUESTION)}")
