# Sourced by quickstart.sh and run_tests.sh: uses the active environment, or makes .venv, and installs once what the
# requirements files $@ list, and this package.
if [ -z "${VIRTUAL_ENV:-}" ] && [ "${CONDA_DEFAULT_ENV:-base}" = base ]; then
    if [ ! -e .venv/bin/activate ]; then
        echo "== making a virtual environment in .venv"
        python3 -m venv .venv
    fi
    . .venv/bin/activate
fi
python -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "error: Python >= 3.10 is needed; python is $(python --version)" >&2
    exit 2
}
environment=$(python -c 'import sys; print(sys.prefix)')
stamp="$environment/.mgfe_ris_$(cat "$@" pyproject.toml | cksum | cut -d' ' -f1)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$PWD" ]; then
    echo "== installing $* and the package into $environment (a few minutes)"
    for file in "$@"; do
        python -m pip install --quiet --disable-pip-version-check --no-compile -r "$file"
    done
    # what pip does on one core; some of the files are templates and no Python, so it never ends with 0
    python -m compileall -qq -j 0 "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" || true
    python -m pip install --quiet --disable-pip-version-check --no-deps -e .
    echo "$PWD" >"$stamp"
fi
