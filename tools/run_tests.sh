#!/usr/bin/env bash
# Lint, types and the whole test suite. Needs Python >= 3.10 and pip.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup_env.sh requirements.txt tests/requirements.txt tools/deployment/requirements.txt projects/web_demo/requirements.txt
ruff check .
ruff format --check .
mypy
python -m pytest "$@"
