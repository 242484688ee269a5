#!/bin/sh
# Installs Homeroom from this pack, without a network:  sh install.sh DIR
# Finds a Python of the right version; install.py does the rest.
set -u

want='@PYTHON@'
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 2
found=''

for python in "${PYTHON:-}" "python$want" python3 python; do
    [ -n "$python" ] || continue
    has=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    [ "$has" = "$want" ] && exec "$python" -I "$here/install.py" "$@"
    found="$found, $python is $has"
done

echo "error: this pack needs Python $want exactly${found:-, and there is no Python}. Name one: PYTHON=/path/to/python$want sh install.sh DIR; or make a pack for yours: homeroom pack FOLDER --python-version X.Y" >&2
exit 2
