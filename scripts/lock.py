"""Write the hash locks under requirements/: `make lock` (needs pip-tools; takes minutes).

PyTorch is resolved at the tested version, so that the locks hold what *its* CPU build needs and no CUDA package, and is then
left out: its wheel depends on the machine. So is Homeroom itself, which the extras name.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETS = {"demo": ("demo", "build"), "dev": ("dev", "build")}
LEFT_OUT = re.compile(r"^(torch|homeroom|nvidia-[\w-]+|cuda-[\w-]+|triton|pip)(\s*@|==)")
OPTIONS = [
    "--quiet",
    "--generate-hashes",
    "--strip-extras",
    "--no-emit-find-links",
    "--no-emit-index-url",
    "--no-header",
    "--no-annotate",
    "--allow-unsafe",
]


def compile_set(name: str, extras: tuple[str, ...], more: list[str]) -> None:
    """Resolve one set and write its lock."""
    target = ROOT / "requirements" / f"{name}.lock"
    wanted = [argument for extra in extras for argument in ("--extra", extra)]
    command = ["pip-compile", *OPTIONS, "-c", "constraints/tested.txt", *wanted, *more, "-o", str(target), "pyproject.toml"]
    subprocess.run(command, cwd=ROOT, check=True)
    target.write_text(strip(target.read_text("utf-8")), "utf-8")


def strip(text: str) -> str:
    """Without comments and without the packages that are left out."""
    kept: list[str] = []
    skipping = False
    for line in text.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            skipping = LEFT_OUT.match(line) is not None
        if not skipping and line.strip() and not line.strip().startswith("#"):
            kept.append(line)
    return "\n".join(kept) + "\n"


def main() -> int:
    """Write every lock."""
    for name, extras in SETS.items():
        compile_set(name, extras, sys.argv[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
