#!/usr/bin/env bash
# Every static check, each of them even if an earlier one failed; the exit status says whether all passed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
failed=()

check() {
    local name=$1
    shift
    local output
    if output=$("$@" 2>&1); then
        printf 'ok      %s\n' "$name"
    else
        printf 'FAILED  %s\n%s\n' "$name" "$output"
        failed+=("$name")
    fi
}

# The settings need a data folder: one that is thrown away, so that a check leaves nothing behind in ./data.
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
export AUTOML_DATA=$data
unset DATABASE_URL REDIS_URL STORAGE_URL

check "ruff: rules" "$python" -m ruff check --quiet .
check "ruff: format" "$python" -m ruff format --check --quiet .
check "mypy: types" "$python" -m mypy
check "import-linter: layers" .venv/bin/lint-imports --no-cache
check "migrations are complete" "$python" manage.py makemigrations --check --dry-run
check "production settings" env \
    AUTOML_PROFILE=production SECRET_KEY="$("$python" -c 'import secrets; print(secrets.token_urlsafe(64))')" \
    ALLOWED_HOSTS=automl.example.com AUTOML_SSL_REDIRECT=1 \
    DATABASE_URL=postgres://automl:lint-only@localhost/automl REDIS_URL=redis://localhost:6379/0 \
    "$python" -W ignore manage.py check --deploy --fail-level WARNING
check "Dockerfile and compose.yaml" "$python" scripts/lint_containers.py
check "shell scripts" bash -n scripts/*.sh .ci/run

if [ ${#failed[@]} -gt 0 ]; then
    printf '\nFailed: %s\n' "$(IFS=';' && echo "${failed[*]}")"
    exit 1
fi
