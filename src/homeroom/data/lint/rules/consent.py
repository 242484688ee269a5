"""Consent: whose words may train a model."""

from __future__ import annotations

from homeroom.data.lint.model import About, ReadRule, Rule

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
            bad='{"messages": [{"role": "user", "content": "I got 7 for 3 + 5."}, {"role": "assistant", "content": "Show me on your fingers."}], "metadata": {"source": "learner", "consent": "withdrawn"}}',
            good='{"messages": [{"role": "user", "content": "I got 7 for 3 + 5."}, {"role": "assistant", "content": "Show me on your fingers."}], "metadata": {"source": "learner", "consent": "granted"}}',
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
            bad='{"messages": [{"role": "user", "content": "I got 7 for 3 + 5."}, {"role": "assistant", "content": "Show me on your fingers."}], "metadata": {"source": "learner"}}',
            good='{"messages": [{"role": "user", "content": "I got 7 for 3 + 5."}, {"role": "assistant", "content": "Show me on your fingers."}], "metadata": {"source": "learner", "consent": "granted"}}',
        )
    ),
)
