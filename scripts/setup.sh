#!/usr/bin/env bash
# Make .venv and install one group of requirements into it: `sklearn` (web and the scikit-learn worker), `torch` (that, and
# the workers for PyTorch and Keras), `dev` (that, and the tests and linters) or `all`. `client-loops` is for the Python
# client's long tests, and goes into .venv-sdk; `tensorflow` is a worker on TensorFlow itself, and goes into .venv-tf;
# `torch-2.1` and `torch-2.0` are workers on these PyTorches, and go into .venv-torch-2.1 and .venv-torch-2.0.
#
# A group is done when its stamp holds the digest of the requirement files and of the interpreter; then this script ends in
# some 30 ms. The stamp is written last, so an install that was cut short is never taken for done; and since pip may then
# have left half of a package that it would take for whole, the environment is made anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

groups="sklearn|torch|dev|all|client-loops|tensorflow|torch-2.1|torch-2.0"
group=${1:?usage: scripts/setup.sh $groups}
venv=.venv
case $group in
    sklearn) files="requirements/worker-sklearn.txt" covers="sklearn" ;;
    torch) files="requirements/worker-sklearn.txt requirements/worker-torch.txt" covers="sklearn torch" ;;
    dev) files="requirements/dev.txt" covers="sklearn torch dev" ;;
    all) files="requirements.txt" covers="sklearn torch dev all" ;;
    client-loops) files="requirements/client-loops.txt" covers="client-loops" venv=.venv-sdk ;;
    tensorflow) files="requirements/worker-tensorflow.txt" covers="tensorflow" venv=.venv-tf ;;
    torch-2.0 | torch-2.1) files="requirements/worker-$group.txt" covers="$group" venv=".venv-$group" ;;
    *) echo "Unknown group '$group'; there are $groups." >&2 && exit 2 ;;
esac

stamps=$venv/stamps
# The versions that the pinned packages have wheels for, newest first; a newer Python is taken only if none of them is there.
tried="3.14 3.13 3.12 3.11"
accepted="3.11 or newer"
newest="4, 0"
if [[ $group == torch-2.* ]]; then # these have no wheels for a newer one
    tried="3.11" accepted="3.11" newest="3, 11"
fi

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

is_accepted() {
    # Run it: a version manager's shim may stand on the PATH for a version that is not installed.
    "$1" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= ($newest))" 2>/dev/null
}

pick_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_accepted "$PYTHON" || die "PYTHON=$PYTHON is not a Python $accepted."
        command -v "$PYTHON"
        return
    fi
    local version
    for version in $tried; do
        if command -v "python$version" >/dev/null && is_accepted "python$version"; then
            command -v "python$version"
            return
        fi
    done
    if command -v python3 >/dev/null && is_accepted python3; then
        command -v python3
        return
    fi
    die "Python $accepted is needed; found: $(python3 --version 2>/dev/null || echo 'no python3')." \
        "On Debian 12: apt-get install python3    (or name another one: make … PYTHON=/path/to/python3.11)"
}

install_venv_module() {
    # Debian ships `venv` without its heart, ensurepip, in a package of its own for each minor version.
    local package
    package=$("$1" -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))')
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        die "This Python cannot make virtual environments yet. Run this, then the same make command again:" \
            "    sudo apt-get install $package"
    fi
    echo "Installing $package …"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package"; } </dev/null >/dev/null ||
        die "apt-get could not install $package (its messages stand above)."
}

make_venv() {
    local python
    python=$(pick_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null || install_venv_module "$python"
    echo "Making $venv with $("$python" --version) ($python) …"
    "$python" -m venv --clear "$venv"
}

venv_works() {
    [ -x "$venv/bin/python" ] && is_accepted "$venv/bin/python" && [ -d "$venv/lib" ] &&
        compgen -G "$venv/lib/python3*/site-packages/pip" >/dev/null &&
        # Its scripts carry the folder's absolute path: after a move they would run another Python, or none.
        grep -qF "$PWD/$venv" "$venv/bin/activate"
}

digest() {
    { "$venv/bin/python" --version && cat requirements.txt requirements/*.txt; } | sha256sum | cut -d ' ' -f 1
}

# One installation at a time, also under `make -j`. The lock is on a folder, so that no lock file lies about.
exec 9<requirements
if ! flock --nonblock 9; then
    echo "Another command is installing; waiting for it …"
    flock 9
fi

if ! venv_works || [ -e "$stamps/installing" ]; then
    make_venv
fi
wanted=$(digest)
[ "$(cat "$stamps/$group" 2>/dev/null)" = "$wanted" ] && exit 0

mkdir -p "$stamps"
# pip ends by itself on Ctrl-C, half a package unpacked: leave before the next line takes that for an ordinary failure.
trap 'exit 130' INT TERM
: >"$stamps/installing"
requirements=()
for file in $files; do
    requirements+=(--requirement "$file")
done
echo "Installing $files …"
started=$SECONDS
# The lock is this script's: what pip leaves behind must not hold it.
"$venv/bin/python" -m pip install -qq --no-input --disable-pip-version-check \
    "${requirements[@]}" --constraint requirements/constraints.txt 9<&- || {
    # pip ended by itself: it has taken back what it began.
    rm -f "$stamps/installing"
    die "The installation of $files failed (pip's messages stand above); nothing was marked as done."
}
for name in $covers; do
    echo "$wanted" >"$stamps/$name"
done
rm -f "$stamps/installing"
echo "Installed in $((SECONDS - started)) s."
