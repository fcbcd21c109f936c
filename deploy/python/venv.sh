#!/usr/bin/env bash
# venv.sh DIR [NAME [OPTION...]] makes a Python environment in DIR: that of the examples and tests, as requirements.txt beside this
# script says, or another one as requirements-NAME.txt says. The options are for pip install: --no-deps where the file names every
# package, and pip would find that two of them want different versions of a third.
# Running it again costs nothing while that file is unchanged; a half-made or moved environment is made again.
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: venv.sh DIR [NAME [OPTION...]]" >&2; exit 2; }
options=("${@:3}")
here=$(cd "$(dirname "$0")" && pwd)
requirements=$here/requirements${2:+-$2}.txt
[ -f "$requirements" ] || { echo "no $requirements: the names are those of the files beside it" >&2; exit 2; }
mkdir -p "$1"
venv=$(cd "$1" && pwd)
stamp=$venv/.complete

exec 9>"$venv.lock"
flock 9 # two makes at once: the second finds the work done

want="$venv $(sha256sum <"$requirements")${options[*]:+ ${options[*]}}"
[ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && exit 0
rm -f "$stamp"

# Debian has python3 without venv; only making one tells.
python3.11 -c 'import venv, ensurepip' 2>/dev/null || {
	echo "Python 3.11 with venv is missing: install python3.11 and python3.11-venv (Debian: apt-get install python3.11 python3.11-venv; else pyenv install 3.11)" >&2
	exit 1
}

# An environment remembers its own path: one that was moved, or whose Python has gone, cannot be repaired.
if [ "$("$venv/bin/python" -c 'import sys; print(sys.prefix)' 2>/dev/null)" != "$venv" ]; then
	python3.11 -m venv --clear "$venv"
fi
echo "installing the packages of $requirements into $venv (hundreds of MB, once)" >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${options[@]}" -r "$requirements" || {
	echo "pip could not install the packages in $requirements: see above; make tries again" >&2
	exit 1
}
echo "$want" >"$stamp"
