#!/usr/bin/env bash
# Install what the page tests need from Debian, where that is possible. Where it is not, say so and go on: the tests then take
# another Chromium, or, without any, are skipped, each by its name.
set -euo pipefail

has_other() {
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null
}

# Where another one will do, a try that failed is not made again: without a network it takes a minute to find that out.
failed=.venv/chromium-not-installed
missing=()
# Without windows to draw it takes half the processor time of the whole browser.
command -v chromium-headless-shell >/dev/null || { has_other && [ -e "$failed" ]; } || missing+=(chromium-headless-shell)
# Playwright's own Node.js is linked to it; a bare Debian comes without.
PATH=$PATH:/usr/sbin:/sbin ldconfig -p | grep -q 'libatomic\.so\.1' || missing+=(libatomic1)
[ ${#missing[@]} -eq 0 ] && exit 0

without="The page tests will be skipped."
if has_other; then without="The page tests will take longer."; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "$without What they need: sudo apt-get install ${missing[*]}"
    exit 0
fi
echo "Installing ${missing[*]} for the page tests …"
export DEBIAN_FRONTEND=noninteractive
get() {
    apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 "$@" </dev/null >/dev/null
}
install() {
    get install -y --no-install-recommends "$@"
}
get update && { install "${missing[@]}" || { ! has_other && install chromium libatomic1; }; } || {
    echo "apt-get could not install ${missing[*]} (its messages stand above). $without"
    touch "$failed"
}
