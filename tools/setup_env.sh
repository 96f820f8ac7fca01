# Sourced by quickstart.sh and run_tests.sh: uses the active environment, or makes .venv, and installs once what the
# requirements files $@ list, and this package.
if [ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]; then
    if [ ! -x .venv/bin/python ]; then
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
            echo "error: Python >= 3.10 is needed; python3 is $(python3 --version)" >&2
            exit 2
        }
        echo "== making a virtual environment in .venv"
        python3 -m venv .venv
    fi
    . .venv/bin/activate
fi
environment=$(python -c 'import sys; print(sys.prefix)')
stamp="$environment/.mgfe_ris_$(cat "$@" pyproject.toml | cksum | cut -d' ' -f1)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$PWD" ]; then
    echo "== installing $* and the package into $environment (a few minutes)"
    for file in "$@"; do
        python -m pip install --quiet --disable-pip-version-check -r "$file"
    done
    python -m pip install --quiet --disable-pip-version-check --no-deps -e .
    echo "$PWD" >"$stamp"
fi
