"""Evaluation: answers, measures, paired comparison with intervals, a verdict by rules fixed before the run, and a report.

Start at `homeroom.evaluation.evaluate.evaluate`; `homeroom.evaluation.report.write_report` turns its result into JSON
and HTML.
"""
