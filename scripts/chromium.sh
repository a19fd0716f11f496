#!/usr/bin/env bash
# Install Debian's Chromium for the page tests where that is possible. Where it is not, say so and go on: the tests that
# need it are then skipped by name.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "No Chromium here: the page tests will be skipped. To run them: sudo apt-get install chromium"
    exit 0
fi
echo "Installing Debian's chromium for the page tests …"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } </dev/null >/dev/null ||
    echo "apt-get could not install chromium (its messages stand above): the page tests will be skipped."
