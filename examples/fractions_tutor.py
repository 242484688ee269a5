"""A tutor for fractions and other mathematics of grades 3 to 5, tuned on this machine.

    python examples/fractions_tutor.py

A child says that 1/2 + 1/3 is 2/5. What does the base say, and what does the same base say after a short LoRA training on
tutors' replies of these grades? About a minute on two cores. The model that comes with Homeroom is too small to teach:
with `--base qwen3-0.6b` it takes longer and says better things.
"""

import argparse

import homeroom

parser = argparse.ArgumentParser(description="Tune a tutor for mathematics of grades 3 to 5, and ask it what a child asks.")
parser.add_argument("--base", default="", help="Base model; the default one when omitted.")
parser.add_argument("--tokens", type=int, default=6000, help="Most tokens to train on.")
arguments = parser.parse_args()

CHILD = "I added 1/2 + 1/3 and got 2/5, because 1 + 1 is 2 and 2 + 3 is 5."
TUTOR = "You are a patient tutor of grade 4. Use the learner's own words and numbers, give one step, and ask one question."

with homeroom.open() as home:
    base = homeroom.fetch(home, arguments.base)

    # Examples of one kind: whoever tunes for one class needs no others.
    examples = [
        example
        for example in homeroom.load_course()
        if example.task == "tutor" and example.metadata["subject"] == "mathematics" and example.metadata["grade_band"] == "3-5"
    ]
    dataset = home.datasets.create("fractions-tutor", examples)
    topics = sorted({str(example.metadata["topic"]) for example in dataset.part("test")})
    print(f"{len(examples)} examples of mathematics in grades 3 to 5. Never trained on: {', '.join(topics)}.")

    recipe = {
        "name": "fractions",
        "task": "tutor",
        "base": base,
        "system_prompt": TUTOR,
        "max_trained_tokens": arguments.tokens,
        "optimiser": {"learning_rate": 0.002, "schedule": "cosine", "warmup_ratio": 0.1},
        "accumulation": {"examples": 2},
        "generation": {"temperature": 0.0, "max_tokens": 80},
    }
    (model,) = homeroom.tune(home, dataset.info.id, recipe)
    before, after = model.metrics["base_valid_loss"], model.metrics["valid_loss"]
    print(f"Tuned {model.name}: validation loss {before:.2f} -> {after:.2f}.")

    print(f"\nChild: {CHILD}")
    for name in (base, model.name):
        with homeroom.conversation(home, name, system=TUTOR) as conversation:
            print(f"\n{name}:\n  {conversation.ask(CHILD)}")

    print(f"\nGo on talking to it: homeroom chat --model {model.name}")
