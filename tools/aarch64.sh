#!/usr/bin/env bash
# Compiles the kernels for 64-bit ARM, runs them under emulation, and holds their bits against those of this machine.
#
#     tools/aarch64.sh FOLDER
#
# For Debian 12 or what is like it. It installs nothing: ARM's Python is unpacked into FOLDER, with what it
# needs. `python` is one with fedspike, nanobind, numpy and pip; make aarch64 sees to that.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
folder=$(realpath "$1")
root=$folder/root
release=3.11 # Debian 12's Python
triplet=aarch64-linux-gnu

for program in $triplet-g++ qemu-aarch64-static; do
    if ! command -v $program >/dev/null; then
        echo >&2 "$program is missing. Fix: apt-get install g++-$triplet qemu-user-static"
        exit 1
    fi
done

if [ ! -e "$root/.complete" ]; then
    # Lists of ARM's packages beside those of this machine, which stay as they are.
    mkdir -p "$folder"/{lists/partial,cache/archives/partial,packages} "$root/site"
    arm=(-qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root
        -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache")
    apt-get "${arm[@]}" update
    (cd "$folder/packages" && apt-get "${arm[@]}" download \
        python$release-minimal lib{python$release,python$release-minimal,python$release-stdlib,python$release-dev} \
        libc6 libgcc-s1 libstdc++6 libgomp1 libcrypt1 libexpat1 libffi8 libssl3 zlib1g libbz2-1.0 liblzma5)
    for package in "$folder"/packages/*.deb; do
        dpkg-deb -x "$package" "$root"
    done
    python -m pip download -q --no-deps --only-binary=:all: -c constraints.txt -d "$folder/packages" \
        --implementation cp --python-version $release --platform manylinux_2_28_aarch64 \
        --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 numpy
    python -m zipfile -e "$folder"/packages/numpy-*.whl "$root/site"
    touch "$root/.complete"
fi

# -idirafter: the compiler's own headers of the C library first.
cmake -S . -B "$folder/build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_CXX_COMPILER=$triplet-g++ -DCMAKE_CXX_FLAGS="-idirafter $root/usr/include" \
    -DPython_EXECUTABLE="$(command -v python)" -DPython_INCLUDE_DIR="$root/usr/include/python$release"
cmake --build "$folder/build"

here=$(python -c 'from fedspike import engine; print(engine.compiled.__file__)')
python tools/kernel_bits.py "$here" >"$folder/here.tsv" 2>/dev/null
module=("$folder"/build/_kernels*.so)
PYTHONHOME=$root/usr PYTHONPATH=$root/site qemu-aarch64-static -L "$root" "$root/usr/bin/python$release" \
    tools/kernel_bits.py "${module[0]}" >"$folder/aarch64.tsv" 2>"$folder/aarch64.log" || {
    cat >&2 "$folder/aarch64.log"
    exit 1
}
python - "$folder/here.tsv" "$folder/aarch64.tsv" <<'END'
import sys
bits = {}
lines = [line.rstrip("\n").split("\t") for file in sys.argv[1:] for line in open(file)]
for processor, threads, case, digest in lines:
    bits.setdefault(case, {}).setdefault(digest, []).append(f"{processor}, {threads}")
apart = {case: kinds for case, kinds in bits.items() if len(kinds) > 1}
for case, kinds in apart.items():
    print(f"{case}: {' / '.join('; '.join(processors) for processors in kinds.values())}")
print(f"{len(bits) - len(apart)} passed, {len(apart)} failed")
sys.exit(bool(apart))
END
