#!/usr/bin/env bash
# A wheel as it would be given to users of Linux, and a first run of it in an environment of its own: make wheel
# torch's OpenMP serves the kernels too, so a second one in the wheel would only fight for the cores.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=build/wheel
rm -rf "$folder"
python -m pip wheel --disable-pip-version-check -q --no-deps --wheel-dir "$folder/made" .
auditwheel repair --exclude libgomp.so.1 --wheel-dir "$folder" "$folder"/made/*.whl
python -m venv "$folder/venv"
install=("$folder/venv/bin/python" -m pip install --disable-pip-version-check -q -c constraints.txt)
"${install[@]}" "$folder"/*.whl
export FEDSPIKE_CACHE=$folder/cache
"$folder/venv/bin/fedspike" doctor
time "$folder/venv/bin/fedspike" run quickstart --output "$folder/quickstart" # nothing is here that draws its page
test ! -e "$folder/quickstart/report.html"
"${install[@]}" "$(echo "$folder"/*.whl)[report]"
cd "$folder"
export FEDSPIKE_CACHE=cache
venv/bin/fedspike report quickstart
test -s quickstart/report.html
grep -h git_commit quickstart/snn-classes3-seed0/environment.json
for _ in 1 2 3; do time venv/bin/python -c 'import fedspike'; done
time venv/bin/fedspike --help > /dev/null
