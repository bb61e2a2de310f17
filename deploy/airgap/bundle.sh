#!/usr/bin/env bash
# Make dist/cxrd-<version>-<platform>.tar.gz: everything that a host without internet needs, and what is in it.
#   deploy/airgap/bundle.sh           run it on the same distribution, architecture and Python as the host's (or: make bundle)
# EXTRAS=postgres,redis,s3 names what is wanted besides the daemon; EXTRAS=postgres,redis,s3,train adds the trainer.
set -euo pipefail
cd "$(dirname "$0")/../.."
EXTRAS=${EXTRAS:-postgres,redis,s3}
PYTHON=${PYTHON:-python3}

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -n 1)
platform=$("$PYTHON" -c 'import sys, platform; print(f"{sys.platform}-{platform.machine()}-py{sys.version_info.major}{sys.version_info.minor}")')
name="cxrd-$version-$platform"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
room="$scratch/$name"
mkdir -p "$room/wheels" dist

echo "wheels of cxrd[$EXTRAS]"
"$PYTHON" -m venv "$scratch/build"
"$scratch/build/bin/pip" wheel --quiet --wheel-dir "$room/wheels" ".[$EXTRAS]"

echo "trial: an install from these wheels alone"
cp deploy/airgap/install.sh "$room/"
echo "$EXTRAS" > "$room/EXTRAS"
"$PYTHON" -m venv "$scratch/trial"
"$scratch/trial/bin/pip" install --quiet --no-index --find-links "$room/wheels" "cxrd[$EXTRAS]"
(cd "$scratch" && "$scratch/trial/bin/cxrd" models ls >/dev/null)

echo "bill of materials"
"$scratch/build/bin/pip" install --quiet cyclonedx-bom
"$scratch/build/bin/cyclonedx-py" environment --output-reproducible --of JSON -o "$room/sbom.cdx.json" "$scratch/trial/bin/python"

cp -R config deploy docs LICENSE README.md CHANGELOG.md "$room/"
(cd "$room" && find . -type f ! -path ./SHA256SUMS -print0 | sort -z | xargs -0 sha256sum > SHA256SUMS)
tar --create --gzip --file "dist/$name.tar.gz" --owner=0 --group=0 --directory "$scratch" "$name"
(cd dist && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
echo "dist/$name.tar.gz ($(du -h "dist/$name.tar.gz" | cut -f 1)), its checksum beside it; on the host: tar xf, then ./install.sh"
