"""Consent: whose words may train a model."""

from __future__ import annotations

from homeroom.data.lint.model import About, ReadRule, Rule

_TALK = "learner: I got 7 for 3 + 5.\ntutor: Show me on your fingers. Where do you begin to count?"

RULES: tuple[Rule, ...] = (
    ReadRule(
        About(
            code="COS001",
            name="consent-refused",
            family="consent",
            severity="error",
            what="Whoever the example came from refused or withdrew consent to training.",
            why="Their words must not train anything. A dataset version with such an example is refused.",
            do="Remove the example.",
            bad=f"metadata: task=tutor, source=learner, consent=withdrawn\n{_TALK}",
            good=f"metadata: task=tutor, source=learner, consent=granted\n{_TALK}",
            guideline="Educational: Privacy of Learners",
        )
    ),
    ReadRule(
        About(
            code="COS002",
            name="consent-missing",
            family="consent",
            severity="error",
            what="The example came from a learner, and nothing says that they or their guardians consented to training.",
            why="Without recorded consent it may train nothing, and cannot enter a dataset version used for tuning.",
            do='Ask, and record the answer as metadata: "consent": "granted". Otherwise remove the example.',
            bad=f"metadata: task=tutor, source=learner\n{_TALK}",
            good=f"metadata: task=tutor, source=learner, consent=granted\n{_TALK}",
            guideline="Educational: Privacy of Learners",
        )
    ),
)
