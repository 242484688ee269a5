"""Where each line of the guide's sections on optimising and on resources is served: a command, a check, a key or a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the guide in our words.

    Attributes:
        part: Where it stands.
        says: What it advises.
        served: How Homeroom serves it.
        page: Of the documentation, from ``docs``, with its anchor.
        command: That does it; empty where it happens without being asked for.
        keys: Of a recipe, as ``METHOD.key``.
    """

    part: str
    says: str
    served: str
    page: str
    command: str = ""
    keys: tuple[str, ...] = ()


_DSPY, _OPENAI, _LOCAL, _MEANS = "DSPy", "OpenAI", "Hugging Face", "Resources"
_PLAN = "homeroom tune plan --dataset my-tutor"

LINES: tuple[Line, ...] = (
    Line(
        _DSPY,
        "try several optimisers",
        "several are tried and the best is kept, BootstrapFewShot and BootstrapIterative among them",
        "how-to/tune-with-dspy.md#what-is-tried",
        "homeroom tune run --method dspy --dataset my-tutor",
        ("DSPY.optimisers",),
    ),
    Line(
        _DSPY,
        "compare what came out by measures",
        "a table of candidates with wins, ties and losses; the test's score apart from the score that chose",
        "how-to/tune-with-dspy.md#see-and-take-the-prompt",
        "homeroom tune show-prompt MODEL",
    ),
    Line(
        _DSPY,
        "combine approaches",
        "ensembles; prompts and weights together",
        "how-to/tune-with-dspy.md#prompts-and-weights-together",
        keys=("DSPY.optimisers", "DSPY.strategy"),
    ),
    Line(
        _DSPY,
        "make better examples of the results",
        "good replies become examples of the next round",
        "how-to/tune-with-dspy.md#use-what-a-good-prompt-says-as-data",
        "homeroom tune traces MODEL --out good.jsonl",
    ),
    Line(
        _OPENAI,
        "watch overfitting on a validation file",
        "the validation part is sent as one; a validation loss that rises is reported, and a better checkpoint becomes a model",
        "how-to/tune-with-openai.md#what-happens",
        keys=("OPENAI.checkpoints",),
    ),
    Line(
        _OPENAI,
        "try batch size and learning rate",
        "several settings are several runs of one file",
        "how-to/tune-with-openai.md#several-bases-and-settings-as-one-experiment",
        keys=("OPENAI.batch_size", "OPENAI.learning_rate_multiplier"),
    ),
    Line(
        _OPENAI,
        "try several base models",
        "several bases are several runs of one file, compared on one test split; the report says on which base the controls are",
        "how-to/compare-methods.md",
        "homeroom tune compare --dataset my-tutor --recipe one.yaml --recipe two.yaml",
        ("OPENAI.base",),
    ),
    Line(
        _OPENAI,
        "begin with few examples, then more",
        "nested subsets, and a curve that says whether more would help",
        "how-to/tune-with-openai.md#will-more-examples-help",
        keys=("OPENAI.subsets",),
    ),
    Line(
        _OPENAI,
        "shorter examples cost less",
        "the plan counts tokens and money, and says where examples could be shorter",
        "how-to/tune-with-openai.md#costs",
        "homeroom tune plan --method openai --dataset my-tutor",
    ),
    Line(
        _LOCAL,
        "larger models in 4 or 8 bits",
        "nf4 with double quantisation, or 8 bits, on a GPU",
        "how-to/tune-locally.md#on-a-gpu",
        keys=("HUGGINGFACE.quantise",),
    ),
    Line(
        _LOCAL,
        "try rank and alpha",
        "a search over both, with what does badly stopped early",
        "how-to/tune-locally.md#look-for-better-settings",
        "homeroom tune sweep --dataset my-tutor --task tutor",
        ("HUGGINGFACE.lora.rank", "HUGGINGFACE.lora.alpha"),
    ),
    Line(
        _LOCAL,
        "try learning rates, usually 1e-5 to 5e-5",
        "the same search: that range, and LoRA's usual one",
        "how-to/tune-locally.md#look-for-better-settings",
        "homeroom tune sweep --dataset my-tutor --task tutor",
        ("HUGGINGFACE.optimiser.learning_rate", "SWEEP.sweep.learning_rate"),
    ),
    Line(
        _LOCAL,
        "batch size by the GPU's memory",
        "`auto` takes what fits the free memory; it is halved where memory runs out",
        "how-to/tune-locally.md#on-a-gpu",
        keys=("HUGGINGFACE.batch_tokens",),
    ),
    Line(
        _LOCAL,
        "larger batches by accumulating gradients",
        "a step learns from so many examples or tokens, whatever fits at a time",
        "reference/recipe.md#gradient-accumulation",
        keys=("HUGGINGFACE.accumulation.examples", "HUGGINGFACE.accumulation.tokens"),
    ),
    Line(
        _LOCAL,
        "stop before it overfits",
        "validation ends the run, and the best weights are kept; off in recipes/demo.yaml, which is short",
        "reference/recipe.md#early-stopping",
        keys=("HUGGINGFACE.validation.patience",),
    ),
    Line(
        _MEANS,
        "keep a log of what the API costs",
        "a ledger of every call that costs money, and budgets that stop",
        "how-to/costs-and-budgets.md",
        "homeroom costs",
    ),
    Line(
        _MEANS,
        "plan the GPU",
        "memory of a GPU that is here or not, whether the run fits, and what to change where it does not; time where it is here",
        "how-to/tune-locally.md#on-a-gpu",
        f"{_PLAN} --gpu 24GB",
    ),
    Line(
        _MEANS,
        "have room on the disk",
        "the plan says how much; a run without it is refused before it starts",
        "troubleshooting.md#no-space",
        _PLAN,
    ),
    Line(
        _MEANS,
        "run several trainings as a batch",
        "one job, one base in memory, one table",
        "how-to/tune-locally.md#several-recipes-at-once",
        "homeroom tune run one.yaml two.yaml --dataset my-tutor",
    ),
    Line(
        _MEANS,
        "keep optimised prompts, so as not to search again",
        "the same search again asks no model and gives the same program",
        "explanation/how-prompt-tuning-works.md",
    ),
)


def block() -> str:
    """The table, for a page that lies in ``docs``."""
    rows = ["| | advice | here | command, or key of a recipe | page |", "|---|---|---|---|---|"]
    for line in LINES:
        keys = [f"`{key.partition('.')[2]}`" for key in line.keys]
        how = ", ".join([*([f"`{line.command}`"] if line.command else []), *keys]) or "by itself"
        title = line.page.rpartition("#")[2] if "#" in line.page else line.page.rpartition("/")[2].removesuffix(".md")
        rows.append(f"| {line.part} | {line.says} | {line.served} | {how} | [{title.replace('-', ' ')}]({line.page}) |")
    return "\n".join(rows)
