#!/usr/bin/env bash
# Install what the page tests need from Debian, where that is possible. Where it is not, say so and go on: the tests are then
# skipped, each by its name.
set -euo pipefail

missing=()
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
    missing+=(chromium)
# Playwright's own Node.js is linked to it; a bare Debian comes without.
PATH=$PATH:/usr/sbin:/sbin ldconfig -p | grep -q 'libatomic\.so\.1' || missing+=(libatomic1)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The page tests will be skipped. To run them: sudo apt-get install ${missing[*]}"
    exit 0
fi
echo "Installing ${missing[*]} for the page tests …"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } </dev/null >/dev/null ||
    echo "apt-get could not install ${missing[*]} (its messages stand above): the page tests will be skipped."
