"""All hostile cases, for the tests and for the table of the documentation."""

from __future__ import annotations

from tests.hostile import cases_adapters, cases_bases, cases_files, cases_gguf
from tests.hostile.bench import Case

CASES: tuple[Case, ...] = (*cases_adapters.CASES, *cases_gguf.CASES, *cases_bases.CASES, *cases_files.CASES)
