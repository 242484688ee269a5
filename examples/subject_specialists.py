"""Two specialists on one base: a tutor for science and one for history, and each question goes to the right one.

    python examples/subject_specialists.py

Each specialist is an adapter of a few megabytes; the base is loaded once for both. The registry keeps which one answers which
subject, and whoever asks it gets the right one, as below; in the web chat both are in the picker.
"""

import argparse

import homeroom

parser = argparse.ArgumentParser(description="Tune a tutor for science and one for history, and route questions by subject.")
parser.add_argument("--base", default="", help="Base model; the default one when omitted.")
parser.add_argument("--tokens", type=int, default=5000, help="Most tokens to train each on.")
arguments = parser.parse_args()

PROMPT = "You are a patient tutor of {subject}. Use the learner's own words, give one step, and ask one question."
QUESTIONS = [
    ("science", "Why is it warm in summer? I say because the Sun is closer to us then."),
    ("history", "A soldier's letter says his side won easily. He was there, so it must be true, right?"),
]

with homeroom.open() as home:
    base = homeroom.fetch(home, arguments.base)

    for subject in ("science", "history"):
        examples = [e for e in homeroom.load_course() if e.task == "tutor" and e.metadata["subject"] == subject]
        dataset = home.datasets.create(f"{subject}-tutor", examples)
        recipe = {
            "name": f"{subject}-tutor",
            "task": "tutor",
            "base": base,
            "system_prompt": PROMPT.format(subject=subject),
            "max_trained_tokens": arguments.tokens,
            "optimiser": {"learning_rate": 0.002, "schedule": "cosine", "warmup_ratio": 0.1},
            "accumulation": {"examples": 2},
            "generation": {"temperature": 0.0, "max_tokens": 80},
        }
        (model,) = homeroom.tune(home, dataset.info.id, recipe)
        home.registry.set_route("tutor", model.name, subject=subject)
        print(f"{subject}: {model.name}, tuned on {len(dataset.part('train'))} of {len(examples)} examples.")

    for subject, question in QUESTIONS:
        specialist = home.registry.route("tutor", subject=subject)
        assert specialist is not None  # set above
        with homeroom.conversation(home, specialist) as conversation:
            print(f"\nA question about {subject} goes to {specialist}.\nLearner: {question}\nTutor: {conversation.ask(question)}")
