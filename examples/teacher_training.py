"""Teacher training: the model plays a learner with a wrong answer, then gives feedback on what the teacher said.

    python examples/teacher_training.py                 a teacher who tells, and one who asks, side by side
    python examples/teacher_training.py --type          you are the teacher; an empty line ends

    python examples/teacher_training.py --coach openai/gpt-4.1-mini     another model gives the feedback
    python examples/teacher_training.py --tune-coach 40                 its prompt is tuned first, with at most 40 calls

A trainee may ask badly here without a child being hurt by it. The learner is tuned on dialogues of learners who have a reason
for their mistake. Feedback comes twice, and each says what it is: in the words of a model, which is asked through the shipped
program `feedback_teacher` and may be wrong, a small one often; and as notes made by rules, which count what can be counted and
quote the turn that each is about, so that they can be argued with.
"""

import argparse
from collections.abc import Iterator

import homeroom
from homeroom.errors import ProviderError

parser = argparse.ArgumentParser(description="Practise on a simulated learner and read notes on your own turns.")
parser.add_argument("--base", default="", help="Base model; the default one when omitted.")
parser.add_argument("--tokens", type=int, default=6000, help="Most tokens to train on.")
parser.add_argument("--learner", type=int, default=1, help="Which of the held-out learners, from 1.")
parser.add_argument("--coach", default="", help="Model that gives the feedback; the base when omitted.")
parser.add_argument(
    "--tune-coach", type=int, default=0, metavar="CALLS", help="Tune that model's prompt on the bundled examples."
)
parser.add_argument("--spend", type=float, default=0.0, help="US dollars that the model of --coach may cost.")
parser.add_argument("--feedback-tokens", type=int, default=200, help="Longest feedback of the model.")
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

    talks = {}
    with homeroom.conversation(home, model.name, task="learner", system=scenario.system_message) as conversation:
        for teacher, turns in ({"you": typed()} if arguments.type else TEACHERS).items():
            conversation.start_over()
            print(f"\n--- {teacher}")
            for turn in turns:
                said = turn if arguments.type else turn.format(answer=scenario.answer, claim=scenario.claim)
                if not arguments.type:
                    print(f"Teacher: {said}")
                print(f"{scenario.name}: {conversation.ask(said)}")
            talks[teacher] = list(conversation.messages)

    coach_model = arguments.coach or base
    if arguments.tune_coach:
        shown = home.datasets.create("homeroom-feedback-teacher", homeroom.load_bundled("homeroom-feedback-teacher"))
        search = {
            "name": "coach",
            "method": "dspy",
            "program": "feedback_teacher",
            "base": coach_model,
            "optimisers": ["zero-shot", "labelled"],
            "max_calls": arguments.tune_coach,
            "items": 6,
            "demonstrations": 1,
            "generation": {"temperature": 0.0, "max_tokens": arguments.feedback_tokens},
        }
        (coached,) = homeroom.tune(home, shown.info.id, search, spend=arguments.spend)
        coach_model = coached.name
        found = coached.metrics
        print(f"\nTuned {coach_model}: {found['kept']}, {found['selection_score']:.2f} of 1 by the checks of its fields.")

    # The model is asked for feedback on the teacher's last turn, with what went before it.
    asked = {"model": coach_model, "max_tokens": arguments.feedback_tokens, "spend": arguments.spend}
    with homeroom.program(home, "feedback_teacher", **asked) as coach:
        for teacher, messages in talks.items():
            spoken = [message for message in messages if message.role != "system"]
            if not spoken:
                continue
            *before, last, _reply = spoken
            said = [f"{'Teacher' if message.role == 'user' else scenario.name}: {message.content}" for message in before]
            print(f"\n=== {teacher}\nFeedback in the words of a model ({coach.name}; it may be wrong):")
            try:
                found = coach.ask(
                    teacher_reply=last.content,
                    situation="\n".join([scenario.problem, *said]),
                    student_says=before[-1].content if before else scenario.claim,
                )
                for field, text in found.items():
                    print(f"  {field.replace('_', ' ')}: {text}")
            except ProviderError as error:
                print(f"  none that can be read: {error.message}")

            notes = homeroom.feedback(messages, scenario)
            print("Notes on the teacher's turns, made by rules:")
            for note in (*notes.strengths, *notes.to_watch):
                print(f"  {'+' if note.tone == 'strength' else '-'} {note.title}. {note.detail}")
                for quote in note.quotes:
                    print(f'      turn {quote.turn}: "{quote.text}"')
            if notes.suggestion is not None:
                print(f'  > Next time: {notes.suggestion.title}. "{notes.suggestion.say}"')
