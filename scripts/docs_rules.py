"""The pages about the data rules: an index, one page for each rule, and the table of the guide's lines.

Everything comes from what the rules say of themselves (`About`) and from `homeroom.data.lint.guide`.
"""

from __future__ import annotations

from homeroom.data.lint.guide import GUIDE, rules_of
from homeroom.data.lint.model import Rule
from homeroom.data.lint.registry import all_rules

FAMILIES = {
    "structure": "Structure: can it be read and learned from?",
    "consistency": "Consistency: is it one tutor who speaks?",
    "diversity": "Diversity: is everything there that a tutor meets?",
    "quality": "Quality: is it right, and good teaching?",
    "safety": "Safety and inclusion: does it harm or leave out anybody?",
    "leakage": "Leakage: has the model seen what it is judged on?",
    "consent": "Consent: may these words be used at all?",
}
HEAD = """# Rules for data

`homeroom data check FILE` shows every record to every rule. An **error** keeps a dataset version from being tuned on,
a **warning** asks for attention, an **info** tells. Rules marked *fix* mend what they find with `homeroom data fix`,
where that is safe without a person; what only a person can decide goes to `homeroom data review`.

Choose rules by code, family or name with `--select` and `--ignore`, or in `homeroom-data.yaml` beside the data:

```yaml
ignore: [CNS008]                # not these
severity: {SAF016: off, DIV: info}
thresholds: {LEA002: {similarity: 0.7}}
per-file: {"imported-*.jsonl": [CNS]}
roster: class-list.txt          # names to look for
```

One record is left alone by a rule with `"metadata": {"lint_ignore": ["QUA009"]}`. How many planted defects the rules
find, and how often they are right, is in [the study](../explanation/data-rules-study.md); which guideline each serves,
in [the table of guidelines](../explanation/training-data-guidelines.md).
"""


def index() -> str:
    """Every rule in one line, by family."""
    parts = [HEAD]
    for family, title in FAMILIES.items():
        rules = [rule.about for rule in all_rules() if rule.about.family == family]
        if rules:
            parts += [f"## {title}\n", "| rule | name | severity | what is reported |", "|---|---|---|---|"]
            parts += [
                f"| [{a.code}](rules/{a.code}.md) | `{a.name}` | {a.severity}{', fix' if a.fixable else ''} | {_cell(a.what)} |"
                for a in sorted(rules, key=lambda a: a.code)
            ]
            parts.append("")
    return "\n".join(parts)


def pages() -> dict[str, str]:
    """File name to text, one for each rule."""
    return {f"{rule.about.code}.md": _page(rule) for rule in all_rules()}


def _page(rule: Rule) -> str:
    about = rule.about
    fix = "`homeroom data fix` mends it where that is safe." if about.fixable else "A person mends it."
    served = "; ".join(line.name for line in GUIDE if rule in rules_of(line, (rule,)))
    lines = [
        f"# {about.code} {about.name}\n",
        f"{about.what}\n",
        f"**Severity:** {about.severity}. **Family:** {about.family}. {fix}\n",
        "## Why\n",
        f"{about.why}\n",
        "## What to do\n",
        f"{about.do}\n",
        "## Reported\n",
        _shown(about.bad),
        "## Not reported\n",
        _shown(about.good),
        "## Turn it off\n",
        f'For one record: `"metadata": {{"lint_ignore": ["{about.code}"]}}`. For a run: `--ignore {about.code}`. For a project, '
        f"in `homeroom-data.yaml`: `ignore: [{about.code}]`, or `severity: {{{about.code}: info}}`.\n",
    ]
    if served:
        lines.append(f"Serves the guideline [{served}](../../explanation/training-data-guidelines.md).\n")
    lines.append("[All rules](../data-rules.md)\n")
    return "\n".join(lines)


def _shown(text: str) -> str:
    if text.startswith("("):
        return f"{text}\n"
    fence = "````" if "```" in text else "```"
    return f"{fence}text\n{text.rstrip()}\n{fence}\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "¦")


def guidelines() -> str:
    """The table: line, rules, section of the report, question to a person."""
    lines = ["| guideline | rules | in the report | asked of a person |", "|---|---|---|---|"]
    for line in GUIDE:
        rules = ", ".join(f"[{r.about.code}](../reference/rules/{r.about.code}.md)" for r in rules_of(line, all_rules()))
        lines.append(f"| {line.name} | {rules or 'none'} | {line.shown} | {line.question} |")
    return "\n".join(lines)
