"""Lay out, verify, report."""

from collections.abc import Sequence
from pathlib import Path

from .findings import Findings
from .layout import lay_out
from .survey import read_all
from .verify import verify
from .verify_photos import verify_photos


def prepare(
    sources: Sequence[Path],
    out: Path,
    check: bool = False,
    subset: bool = False,
    fast: bool = False,
    jobs: int = 1,
    progress: bool = True,
) -> dict:
    """Lay out, unless only to be checked, and verify.

    Args:
        sources: zips, folders, single files.
        out: data root; ``images`` and a folder per data set are made in it.
        check: look at what lies in ``out`` and change nothing.
        subset: counts that differ from the published ones are no fault.
        fast: read only the headers of photos.
        jobs: processes that decode photos.
        progress: show progress bars.

    Returns:
        The report: ``ok``, ``datasets`` (counts, expected counts and verdicts), ``photos`` (counts), ``problems``
        (by kind: total and the first ones) and ``notes``.

    Raises:
        FileNotFoundError: a source, or the folder to check, is missing.
        ValueError: a source is neither folder, zip nor a file of a data set; not enough space.
    """
    findings = Findings()
    if check:
        if not out.is_dir():
            raise FileNotFoundError(f'{out}: no such folder. Name the one to check with --out')
        surveys = list(read_all(out, findings))
    else:
        surveys = lay_out(sources, out, findings, progress)
    if not surveys:
        findings.add('annotations', f'{out}: no refs(...).p or .json that could be read, in a folder of a data set')
    datasets = verify(surveys, subset, findings)
    photos = {name: size for survey in surveys for name, size in survey.photos.items()}
    missing = verify_photos(out / 'images', photos, fast, jobs, progress, findings)
    return {
        'ok': not findings.problems,
        'out': str(out),
        'datasets': datasets,
        'photos': {'needed': len(photos), 'present': len(photos) - missing},
        'problems': findings.report(),
        'notes': findings.notes,
    }
