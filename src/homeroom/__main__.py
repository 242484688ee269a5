"""``python -m homeroom`` is the command line."""

from homeroom.cli.main import main

main()
