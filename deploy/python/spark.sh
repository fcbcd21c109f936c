#!/usr/bin/env bash
# spark.sh DIR VERSION puts Spark of that version in DIR, as requirements-spark-VERSION.txt beside this script says: a directory for
# PYTHONPATH, beside the environment that venv.sh makes. So two versions of Spark share one TensorFlow.
# Running it again costs nothing while that file is unchanged; a half-made directory is made again.
set -euo pipefail

[ $# -eq 2 ] || { echo "usage: spark.sh DIR VERSION" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
requirements=$here/requirements-spark-$2.txt
[ -f "$requirements" ] || { echo "no $requirements: the versions are those of the files beside it" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
stamp=$dir/.complete

exec 9>"$dir.lock"
flock 9 # two makes at once: the second finds the work done

want=$(sha256sum <"$requirements")
[ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && exit 0

echo "installing Spark $2 into $dir (500 MB, once)" >&2
rm -rf "$dir"
python3.11 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --target "$dir" -r "$requirements" || {
	echo "pip could not install the packages in $requirements: see above; make tries again" >&2
	exit 1
}
echo "$want" >"$stamp"
