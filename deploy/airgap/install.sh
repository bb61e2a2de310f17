#!/usr/bin/env bash
# Install cxrd from this bundle, without any network:  ./install.sh [/opt/cxrd]
# Nothing is written before every file has been compared with SHA256SUMS. Run again, it upgrades.
set -euo pipefail
cd "$(dirname "$0")"
where=${1:-/opt/cxrd}
PYTHON=${PYTHON:-python3}

if ! sha256sum --check --quiet --strict SHA256SUMS; then
  echo "install.sh: files of this bundle are not what was packed; copy it again and compare its .sha256" >&2
  exit 1
fi
if [ -n "$(comm -3 <(find . -type f ! -path ./SHA256SUMS | sort) <(sed 's/^[0-9a-f]*  //' SHA256SUMS | sort))" ]; then
  echo "install.sh: there are files in this bundle that SHA256SUMS does not name; unpack it into an empty folder" >&2
  exit 1
fi
"$PYTHON" -m venv "$where" || { echo "install.sh: needs Python's venv (Debian: python3-venv)" >&2; exit 1; }
# cxrd itself whatever its number, since a bundle between two releases has that of the last; then what it needs
"$where/bin/pip" install --quiet --no-index --find-links wheels --force-reinstall --no-deps cxrd
"$where/bin/pip" install --quiet --no-index --find-links wheels --upgrade "cxrd[$(cat EXTRAS)]"
"$where/bin/cxrd" --version
echo "Next: deploy/install.md in this folder, from \"A user and its folders\" on."
