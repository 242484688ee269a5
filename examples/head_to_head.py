"""Head to head: a searched prompt, LoRA and OpenAI's API against the base and a good prompt, on topics that none has seen.

    python -m pip install 'homeroom[dspy]'
    python examples/head_to_head.py
    python examples/head_to_head.py --methods huggingface            without DSPy

Each reply is checked by the same rules. One measure decides, the share of replies that pass every check, and it is named before
the first answer is given; what comes out is printed whatever it is. Without a key the openai row is tuned by Homeroom's own
server: it tests the plumbing, not the provider.
"""

import argparse

import homeroom

parser = argparse.ArgumentParser(description="Compare the methods of tuning on held-out topics.")
parser.add_argument("--base", default="", help="Base model; the default one when omitted.")
parser.add_argument("--methods", default="dspy,huggingface,openai", help="What takes part.")
parser.add_argument("--tokens", type=int, default=8000, help="Most tokens that LoRA is trained on.")
parser.add_argument("--calls", type=int, default=60, help="Most calls of the search for a prompt.")
parser.add_argument("--examples", type=int, default=60, help="Most examples that are sent to the API.")
parser.add_argument("--items", type=int, default=24, help="Held-out questions to ask each.")
parser.add_argument("--reply-tokens", type=int, default=64, help="Longest reply.")
parser.add_argument("--spend", type=float, default=0.0, help="US dollars that calls to endpoints may cost.")
arguments = parser.parse_args()

SYSTEM = "You are a patient tutor. Use the learner's own words and numbers, give one step, and ask one question."
MEASURES = ["sound_turn", "withholding", "asks_next_step", "false_confirmation", "follows_the_turn"]

with homeroom.open() as home:
    base = homeroom.fetch(home, arguments.base)

    examples = [example for example in homeroom.load_course() if example.task == "tutor"]
    dataset = home.datasets.create("tutors-of-the-course", examples)
    alike = {
        "task": "tutor",
        "base": base,
        "system_prompt": SYSTEM,
        "generation": {"temperature": 0.0, "max_tokens": arguments.reply_tokens},
    }
    recipes = {
        "dspy": {
            **alike,
            "method": "dspy",
            "optimisers": ["plain", "zero-shot", "labelled"],
            "items": 6,
            "demonstrations": 2,
            "max_calls": arguments.calls,
        },
        "huggingface": {
            **alike,
            "method": "huggingface",
            "max_trained_tokens": arguments.tokens,
            "optimiser": {"learning_rate": 0.002, "schedule": "cosine", "warmup_ratio": 0.1},
            "accumulation": {"examples": 2},
        },
        "openai": {**alike, "method": "openai", "epochs": 1, "max_examples": arguments.examples, "delete_files": True},
    }
    chosen = [recipes[method] for method in arguments.methods.split(",")]

    # Where to begin, before anything is measured: a table of rules, from what is known of the data and this machine.
    found = homeroom.recommend(home, dataset.info.id)
    print(f"By the rules: {found.answer.method}, then {found.answer.second}. {found.answer.on_examples}")

    result = homeroom.compare(
        home,
        dataset.info.id,
        recipes=chosen,
        base=base,
        items=arguments.items,
        max_tokens=arguments.reply_tokens,
        spend=arguments.spend,
    )

    print(f"\n{len(result.evaluation.replies)} replies of each, on topics that training never saw:\n")
    width = max(len(standing.title) for standing in result.standings)
    for standing, facts in zip(result.standings, result.facts, strict=True):
        share = "-" if standing.share is None else f"{standing.share:.0%} ({standing.low:.0%} to {standing.high:.0%})"
        took = "" if facts.tune_s is None else f"tuned in {facts.tune_s:.0f} s"
        doubt = "not believed: " + "; ".join(standing.doubts) if standing.doubts else ""
        print(f"{standing.title:{width}}  {share:20}  {took:16}  {doubt}".rstrip())

    print("\nMeans of single measures, in the same order:")
    cards = {card.system: card for card in result.evaluation.scorecards}
    for measure in result.evaluation.measures:
        if measure.name in MEASURES:
            means = [cards[standing.name].summaries[measure.name].mean for standing in result.standings]
            print(f"{measure.title:34}" + "".join(f"{'-' if mean is None else f'{mean:.2f}':>7}" for mean in means))

    print(f"\n{result.advice.headline}")
    for reason in result.advice.reasons:
        print(f"  - {reason}")
    if result.opening:
        print(result.opening["text"])
