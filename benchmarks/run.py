"""Every benchmark, one after the other: `make bench`. Name some to run only those; `--list` tells which there are.

python benchmarks/run.py                                 the default ones
python benchmarks/run.py start data_speed                these
python benchmarks/run.py tuning_layers -- --home FOLDER  one, with arguments of its own
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = (
    "validate_metrics",
    "data_speed",
    "demo_time",
    "start",
    "api_latency",
    "chat_latency",
    "chat_threads",
    "chat_quantisation",
)
LEFT_OUT = {
    "chance_of_few_topics": "a simulation whose outcome depends on no machine",
    "data_rules_precision": "counts verdicts that people gave on a sample; times nothing",
    "data_rules_study": "its frozen half is scored once; runs on the half for tuning when named",
    "gpu_tuning": "needs a GPU and the extra `bench`",
    "plan_error": "takes long: whole runs of the real model; goes on where it stopped",
    "tuning_ceiling": "a part of `tuning_speed -- --ceiling bfloat16`, which keeps its figures",
    "tuning_layers": "takes long, and needs `-- --home FOLDER`; goes on where it stopped",
    "tuning_speed": "takes long, and needs the extra `bench`; goes on where it stopped",
    "tuning_sweep_trl": "takes long, and needs the extra `bench`; before tuning_speed",
    "tuning_variants": "tells what was tried in the training step and is not in the product",
}
"""By name only, and why."""
HELPERS = ("api_stub", "run", "tuning_child")
"""Programs that measure nothing by themselves: the benchmarks start them."""


def first_line(name: str) -> str:
    """What a benchmark measures, by its own words."""
    tree = ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def listing() -> str:
    """All names, with what each measures, and why some are left out by default."""
    lines = ["run by default:", *(f"  {name:22}{first_line(name)}" for name in BENCHMARKS), "", "only when named:"]
    for name, why in LEFT_OUT.items():
        lines += [f"  {name:22}{first_line(name)}", f"  {'':22}left out: {why}"]
    return "\n".join(lines)


def parsed(given: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The benchmarks to run, and what they get."""
    own, passed = list(given), []
    if "--" in own:
        own, passed = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, epilog=listing(), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="run these instead of the default ones")
    parser.add_argument("--list", action="store_true", help="tell which there are, and which are left out by default and why")
    options = parser.parse_args(own)
    if options.list:
        print(listing())
        parser.exit()
    known = (*BENCHMARKS, *LEFT_OUT)
    for name in options.names:
        if name not in known:
            parser.exit(2, f"error: there is no benchmark {name!r}; there are: {', '.join(known)}. See: {parser.prog} --list\n")
    if passed and len(options.names) != 1:
        parser.exit(2, f"error: arguments after -- are for one benchmark; {len(options.names)} are named\n")
    return options.names or BENCHMARKS, passed


def main() -> int:
    """Run them; 1 when one fails."""
    names, passed = parsed(sys.argv[1:])
    codes = []
    for name in names:
        print(f"== {name}", flush=True)
        codes.append(subprocess.run([sys.executable, str(HERE / f"{name}.py"), *passed], cwd=HERE, check=False).returncode)
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
