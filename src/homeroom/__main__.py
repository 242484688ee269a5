"""``python -m homeroom`` is the command line."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - before any import: what follows does not even compile on an old Python
    sys.stderr.write("error: Homeroom needs Python 3.11 or newer; this is %s.  " % sys.version.split()[0])  # noqa: UP031
    sys.stderr.write("[help: docs/troubleshooting.md#old-python]\n")
    sys.exit(2)

from homeroom.cli.main import main

main()
