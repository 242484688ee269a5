"""The reasons of the guide to choose a method, each with the input that stands for it. A test holds each to its word."""

from __future__ import annotations

from dataclasses import dataclass

from homeroom.tuning.recommend.inputs import Value
from homeroom.tuning.recommend.rules import Method


@dataclass(frozen=True, slots=True)
class Line:
    """One reason of the guide: where it stands, what it says, and which value of which input speaks for ``method``."""

    part: str
    says: str
    input: str
    value: Value
    method: Method


_DSPY, _OPENAI, _LOCAL = "Best practices: DSPy", "Best practices: OpenAI", "Best practices: Hugging Face"
_FIRST, _TABLE, _IMPACT = "Overview: choosing", "Overview: methods", "Overview: educational impact"

LINES: tuple[Line, ...] = (
    Line(_DSPY, "Limited training data: 5 to 20 examples", "examples", 12, "dspy"),
    Line(_DSPY, "Quick adaptation", "speed", "hours", "dspy"),
    Line(_DSPY, "Low resource requirements: no GPU", "gpu", False, "dspy"),
    Line(_DSPY, "Iterative development, the early phase", "stage", "early", "dspy"),
    Line(_DSPY, "Small tweaks", "small_change", True, "dspy"),
    Line(_DSPY, "Specific educational tasks", "single_task", True, "dspy"),
    Line(_OPENAI, "Medium-sized data: 50 to 1,000 examples", "examples", 400, "openai"),
    Line(_OPENAI, "Consistent responses", "consistency", True, "openai"),
    Line(_OPENAI, "Alignment with educational standards", "standards", True, "openai"),
    Line(_OPENAI, "Managed infrastructure", "no_upkeep", True, "openai"),
    Line(_OPENAI, "Controlled API costs: token usage", "token_costs", True, "openai"),
    Line(_OPENAI, "Wide deployment", "deployment", "wide", "openai"),
    Line(_LOCAL, "Large data: 1,000 examples and more", "examples", 3000, "huggingface"),
    Line(_LOCAL, "Privacy requirements", "private", True, "huggingface"),
    Line(_LOCAL, "Offline deployment", "offline", True, "huggingface"),
    Line(_LOCAL, "Offline deployment: limited connectivity", "connectivity", "limited", "huggingface"),
    Line(_LOCAL, "Full control", "control", True, "huggingface"),
    Line(_LOCAL, "Cost control: no ongoing API costs", "no_running_costs", True, "huggingface"),
    Line(_LOCAL, "Specialised models", "specialised", True, "huggingface"),
    Line(_LOCAL, "Local infrastructure: a GPU", "gpu", True, "huggingface"),
    Line(_FIRST, "DSPy: limited data (5 to 20)", "examples", 5, "dspy"),
    Line(_FIRST, "DSPy: quick results", "speed", "hours", "dspy"),
    Line(_FIRST, "DSPy: to test whether fine-tuning is beneficial", "unsure", True, "dspy"),
    Line(_FIRST, "OpenAI: medium-sized data (50 to 1,000)", "examples", 1000, "openai"),
    Line(_FIRST, "OpenAI: consistent, high-quality responses", "consistency", True, "openai"),
    Line(_FIRST, "OpenAI: no infrastructure to manage", "no_upkeep", True, "openai"),
    Line(_FIRST, "Hugging Face: 1,000 examples and more", "examples", 1001, "huggingface"),
    Line(_FIRST, "Hugging Face: full control", "control", True, "huggingface"),
    Line(_FIRST, "Hugging Face: offline or local deployment", "offline", True, "huggingface"),
    Line(_FIRST, "Hugging Face: data privacy", "private", True, "huggingface"),
    Line(_TABLE, "DSPy: low requirements", "budget_usd", 5.0, "dspy"),
    Line(_TABLE, "OpenAI: medium requirements, API costs", "budget_usd", 200.0, "openai"),
    Line(_TABLE, "Hugging Face: high requirements", "memory_gb", 16.0, "huggingface"),
    Line(_IMPACT, "Domain knowledge: specialised terminology", "specialised", True, "huggingface"),
    Line(_IMPACT, "Pedagogical accuracy: aligned with practice", "standards", True, "openai"),
    Line(_IMPACT, "Response consistency", "consistency", True, "openai"),
    Line(_IMPACT, "Educational privacy: fully local", "private", True, "huggingface"),
    Line(_IMPACT, "Resources: ongoing API costs, or local", "no_running_costs", True, "huggingface"),
)
