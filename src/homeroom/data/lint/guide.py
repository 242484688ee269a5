"""The quality guidelines for training data, line by line: rules that serve it, where the report shows it, what a person is asked.

The lines are those of "Training Data Quality Guidelines" of the project's guide, with those of its other sections that are
about data and one of our own, the privacy of learners. Rules name their line in `About.guideline`; a test holds that no line is
left without a rule, a report section or a question.
"""

from __future__ import annotations

from dataclasses import dataclass

from homeroom.data.lint.model import Rule


@dataclass(frozen=True, slots=True)
class Line:
    """One guideline: ``name`` as rules write it, the section of the report that shows it, and what only a person can answer."""

    name: str
    shown: str = ""
    question: str = ""


GUIDE: tuple[Line, ...] = (
    Line("Consistency: Formatting", "Findings by rule"),
    Line("Consistency: Style", "Findings by rule", "Would one teacher say all of these replies?"),
    Line("Consistency: Length", "Lengths"),
    Line("Consistency: Terminology", "Findings by rule", "Is this the term that your school uses?"),
    Line("Diversity: Cover All Topics", "Coverage", "Which topics of your curriculum are missing?"),
    Line("Diversity: Varied Questions", "Coverage"),
    Line("Diversity: Different Scenarios", "Coverage"),
    Line("Diversity: Edge Cases", "Coverage", "What do your learners say that no example has?"),
    Line("Quality: Accuracy", "Findings by rule", "Has a teacher of the subject checked the facts that no rule can check?"),
    Line("Quality: Pedagogical Value", "Findings by rule", "Does each reply make the learner do the next step?"),
    Line("Quality: Clarity", "Findings by rule", "Would a learner of this grade understand it at first reading?"),
    Line("Quality: Age-Appropriate", "Reading level by grade", "Is the topic right for this age in your school?"),
    Line("Structure: Input-Output Pairs", "Findings by rule"),
    Line("Structure: Context Inclusion", "Findings by rule"),
    Line("Structure: Metadata", "Coverage"),
    Line(
        "Educational: Feedback Quality",
        "Findings by rule",
        "Does the feedback say what is right, what is not yet, and what comes next?",
    ),
    Line(
        "Educational: Cultural Sensitivity",
        "What needs a person",
        "Whose names, homes and feasts are in the data, and whose are not?",
    ),
    Line("Educational: Privacy of Learners", "Findings by rule", "Did everyone whose words these are agree?"),
    Line("Optimizing: Validation Split", "Findings by rule"),
)


def rules_of(line: Line, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The rules that serve a line. A rule may name several, with semicolons between."""
    return tuple(rule for rule in rules if line.name in _names(rule))


def unknown(rules: tuple[Rule, ...]) -> dict[str, str]:
    """Code to guideline of rules that name a line that is not in the guide."""
    known = {line.name for line in GUIDE}
    return {rule.about.code: name for rule in rules for name in _names(rule) if name and name not in known}


def _names(rule: Rule) -> tuple[str, ...]:
    return tuple(name.strip() for name in rule.about.guideline.split(";"))
