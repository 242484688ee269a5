"""Head to head: the base, the base with a prompt of worked examples, and the tuned model, on topics that none of them has seen.

    python examples/head_to_head.py

Each reply is checked by the same rules, with an interval around every difference. What decides is said before the first answer
is given; what comes out is printed whatever it is.
"""

import argparse

import homeroom

parser = argparse.ArgumentParser(description="Compare a base, its prompt and a tuned model on held-out topics.")
parser.add_argument("--base", default="", help="Base model; the default one when omitted.")
parser.add_argument("--tokens", type=int, default=8000, help="Most tokens to train on.")
parser.add_argument("--items", type=int, default=12, help="Held-out questions to ask each of the three.")
parser.add_argument("--reply-tokens", type=int, default=64, help="Longest reply.")
arguments = parser.parse_args()

MEASURES = ["sound_turn", "withholding", "asks_next_step", "false_confirmation", "follows_the_turn"]
TITLES = {"base": "base", "few-shot": "prompt", "candidate": "tuned"}

with homeroom.open() as home:
    base = homeroom.fetch(home, arguments.base)

    examples = [example for example in homeroom.load_course() if example.task == "tutor"]
    dataset = home.datasets.create("tutors-of-the-course", examples)
    recipe = {
        "name": "head-to-head",
        "task": "tutor",
        "base": base,
        "system_prompt": "You are a patient tutor. Use the learner's own words and numbers, give one step, and ask one question.",
        "max_trained_tokens": arguments.tokens,
        "optimiser": {"learning_rate": 0.002, "schedule": "cosine", "warmup_ratio": 0.1},
        "accumulation": {"examples": 2},
        "generation": {"temperature": 0.0, "max_tokens": arguments.reply_tokens},
    }
    (model,) = homeroom.tune(home, dataset.info.id, recipe)
    print(f"Tuned {model.name} on {len(dataset.part('train'))} examples, {arguments.tokens} tokens at most.")

    result = homeroom.evaluate(home, model, items=arguments.items, max_tokens=arguments.reply_tokens)
    print(f"{len(result.replies)} replies each, on topics that training never saw:\n")
    print(f"{'':34}" + "".join(f"{title:>9}" for title in TITLES.values()))
    for measure in result.measures:
        if measure.name not in MEASURES:
            continue
        cards = [result.scorecard(role) for role in TITLES]
        means = [card.summaries[measure.name].mean if card else None for card in cards]
        print(f"{measure.title:34}" + "".join(f"{'-' if mean is None else f'{mean:.2f}':>9}" for mean in means))

    assert result.verdict is not None  # there is a candidate
    print(f"\nVerdict: {result.verdict.outcome}. {result.verdict.headline}")
    print(f"The whole report: homeroom eval report {model.name}")
