# Sourced by quickstart.sh and run_tests.sh: uses the active environment, or makes .venv, and installs what
# requirements file $1 lists, and this package, once.
if [ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]; then
    if [ ! -x .venv/bin/python ]; then
        echo "== making a virtual environment in .venv"
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
            echo "error: Python >= 3.10 is needed, python3 is $(python3 --version)" >&2
            exit 2
        }
        python3 -m venv .venv
    fi
    . .venv/bin/activate
fi
env_dir=$(python -c 'import sys; print(sys.prefix)')
stamp="$env_dir/.mgfe_ris_$(cat "$1" requirements.txt pyproject.toml | cksum | cut -d' ' -f1)"
if [ ! -e "$stamp" ] || [ "$(cat "$stamp")" != "$PWD" ]; then
    echo "== installing $1 and the package into $env_dir (a few minutes)"
    python -m pip install --quiet --disable-pip-version-check -r "$1"
    python -m pip install --quiet --disable-pip-version-check --no-deps -e .
    echo "$PWD" >"$stamp"
fi
