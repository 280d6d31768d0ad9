#!/usr/bin/env bash
# Runs the tests with other versions of torch than that of constraints.txt, each in an environment of its own.
#
#   tests/torch_versions.sh                          the oldest that pyproject.toml declares, and the newest
#   tests/torch_versions.sh 2.9.1 newest             these
#   tests/torch_versions.sh 2.9.1 -- tests/tensors   what stands behind -- is pytest's
#
# CI does not run this: a torch with the libraries of CUDA is 5 GB. Environments are kept in $LOSSLANG_TORCHES, which
# is a folder for temporary files unless it is set; pip refuses a torch that pyproject.toml does not allow.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest=$(sed -n 's|^torch = \["torch>=\([0-9.]*\)"\].*|\1|p' pyproject.toml)
folder=${LOSSLANG_TORCHES:-${TMPDIR:-/tmp}/losslang-torches}

versions=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  versions+=("$1")
  shift
done
[ $# -eq 0 ] || shift
[ ${#versions[@]} -gt 0 ] || versions=("${oldest:?no oldest torch in pyproject.toml}" newest)

mkdir -p "$folder"
# torch says itself which versions of these it takes.
grep -viE '^(torch|filelock|fsspec|jinja2|markupsafe|mpmath|networkx|sympy|typing_extensions)==' constraints.txt > "$folder/constraints.txt"

failed=()
for version in "${versions[@]}"; do
  torch="torch==$version.*"
  [ "$version" != newest ] || torch=torch
  environment=$folder/$version
  if [ ! -e "$environment/.ready" ]; then
    "${PYTHON:-python3}" -m venv --clear "$environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
      --constraint "$folder/constraints.txt" "$torch" --editable '.[dev]'
    touch "$environment/.ready"
  fi
  "$environment/bin/python" -c 'import platform, torch; print("torch", torch.__version__, "on Python", platform.python_version())'
  "$environment/bin/python" -m pytest -p no:cacheprovider "$@" || failed+=("$version")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed with torch ${failed[*]}" >&2; exit 1; }
