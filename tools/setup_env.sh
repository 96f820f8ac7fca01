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

# As pip install; where that fails, a last line after pip's own
pip_install() {
    python -m pip install --quiet --disable-pip-version-check "$@" || {
        echo "error: pip install $* failed; its lines above say why. Where the Python index cannot be reached, set" \
            "PIP_INDEX_URL to a mirror; then run the same command again" >&2
        exit 2
    }
}

environment=$(python -c 'import sys; print(sys.prefix)')
stamp="$environment/.mgfe_ris_$(cat "$@" pyproject.toml | cksum | cut -d' ' -f1)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$PWD" ]; then
    echo "== installing $* and the package into $environment (a few minutes)"
    for file in "$@"; do
        # a minute less: most of 22,000 modules are never imported, and the others are compiled as they are, see below
        pip_install --no-compile -r "$file"
    done
    pip_install --no-deps -e .
    echo "$PWD" >"$stamp"
fi
unset PYTHONDONTWRITEBYTECODE # with it, each process would compile them again, for 10 s
