#!/usr/bin/env bash
# airflow.sh DIR VERSION makes a Python environment in DIR that holds Airflow of that version, as requirements-airflow-VERSION.txt beside
# this script says, for the tests of deploy/schedulers/airflow.
# Running it again costs nothing while that file is unchanged; a half-made or moved environment is made again.
set -euo pipefail

[ $# -eq 2 ] || { echo "usage: airflow.sh DIR VERSION" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
requirements=$here/requirements-airflow-$2.txt
[ -f "$requirements" ] || { echo "no $requirements: the versions are those of the files beside it" >&2; exit 2; }
mkdir -p "$1"
venv=$(cd "$1" && pwd)
stamp=$venv/.complete

exec 9>"$venv.lock"
flock 9 # two makes at once: the second finds the work done

want="$venv $(sha256sum <"$requirements")"
[ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && exit 0

echo "installing Airflow $2 into $venv (300 MB, once)" >&2
python3.11 -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$requirements" || {
	echo "pip could not install the packages in $requirements: see above; make tries again" >&2
	exit 1
}
echo "$want" >"$stamp"
