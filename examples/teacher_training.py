"""Teacher training: the model plays a learner with a wrong answer, then the teacher's own words get feedback.

    python examples/teacher_training.py                 a teacher who tells, and one who asks, side by side
    python examples/teacher_training.py --type          you are the teacher; an empty line ends

A trainee may ask badly here without a child being hurt by it. The learner is tuned on dialogues of learners who have a reason
for their mistake. The notes are made by rules, not by a model: each quotes the turn that it is about, so that it can be argued
with.
"""

import argparse
from collections.abc import Iterator

import homeroom

parser = argparse.ArgumentParser(description="Practise on a simulated learner and read notes on your own turns.")
parser.add_argument("--base", default="", help="Base model; the default one when omitted.")
parser.add_argument("--tokens", type=int, default=6000, help="Most tokens to train on.")
parser.add_argument("--learner", type=int, default=1, help="Which of the held-out learners, from 1.")
parser.add_argument(
    "--type", action="store_true", help="Type the teacher's turns instead of playing the two that are written here."
)
arguments = parser.parse_args()

TEACHERS = {
    "a teacher who tells": ["That's wrong. The answer is {answer}.", "Do you understand now? Good. Next one."],
    "a teacher who asks": [
        "You said {claim}. How did you get there?",
        "Let's test that. Can you draw it, or try it with a smaller case?",
        "What do you notice? What does it tell you about {claim}?",
    ],
}


def typed() -> Iterator[str]:
    """What is typed, until an empty line."""
    while text := input("\nteacher> ").strip():
        yield text


with homeroom.open() as home:
    base = homeroom.fetch(home, arguments.base)

    dialogues = [example for example in homeroom.load_course() if example.task == "learner"]
    dataset = home.datasets.create("learners-to-practise-on", dialogues)
    recipe = {
        "name": "practice-learner",
        "task": "learner",
        "base": base,
        "max_trained_tokens": arguments.tokens,
        "optimiser": {"learning_rate": 0.002, "schedule": "cosine", "warmup_ratio": 0.1},
        "accumulation": {"examples": 2},
        "generation": {"temperature": 0.4, "top_p": 0.9, "max_tokens": 48, "seed": 1},
    }
    (model,) = homeroom.tune(home, dataset.info.id, recipe)
    print(f"Tuned {model.name} on {len(dataset.part('train'))} dialogues.")

    # A learner whose topic was held out: nothing that it says was learnt by heart.
    scenario = homeroom.scenarios_from_examples(dataset.part("test"))[arguments.learner - 1]
    print(f"\n{scenario.name}, {scenario.grade_title}, {scenario.temperament}. {scenario.problem}")
    print(f"{scenario.name} answered: {scenario.claim}")

    with homeroom.conversation(home, model.name, task="learner", system=scenario.system_message) as conversation:
        for teacher, turns in ({"you": typed()} if arguments.type else TEACHERS).items():
            conversation.start_over()
            print(f"\n--- {teacher}")
            for turn in turns:
                said = turn if arguments.type else turn.format(answer=scenario.answer, claim=scenario.claim)
                if not arguments.type:
                    print(f"Teacher: {said}")
                print(f"{scenario.name}: {conversation.ask(said)}")

            notes = homeroom.feedback(conversation.messages, scenario)
            print("\nNotes on the teacher's turns:")
            for note in (*notes.strengths, *notes.to_watch):
                print(f"  {'+' if note.tone == 'strength' else '-'} {note.title}. {note.detail}")
                for quote in note.quotes:
                    print(f'      turn {quote.turn}: "{quote.text}"')
            if notes.suggestion is not None:
                print(f'  > Next time: {notes.suggestion.title}. "{notes.suggestion.say}"')
