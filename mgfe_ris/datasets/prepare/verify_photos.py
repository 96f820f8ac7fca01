"""Are all photos there, readable and of the size that is annotated?"""

import multiprocessing
from functools import partial
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ..photo_files import photo_size
from .findings import Findings

PHOTOS_PER_PROCESS = 1000  # a process takes seconds to start


def verify_photos(
    folder: Path, photos: dict[str, tuple[int, int]], fast: bool, jobs: int, progress: bool, findings: Findings
) -> int:
    """How many are missing.

    Args:
        folder: of the photos.
        photos: name in ``folder`` -> (height, width).
        fast: read only their headers.
        jobs: processes, at most.
        progress: show a progress bar.
        findings: takes what is wrong.
    """
    missing = [name for name in sorted(photos) if not (folder / name).is_file()]
    for name in missing:
        findings.add('missing photos', name)
    tasks = [(str(folder / name), photos[name]) for name in sorted(photos.keys() - set(missing))]
    jobs = min(jobs, -(-len(tasks) // PHOTOS_PER_PROCESS))
    look = partial(_problem, fast=fast)
    bar = partial(tqdm, total=len(tasks), desc='checking', unit='photo', disable=not progress)
    if jobs <= 1:
        problems = list(bar(map(look, tasks)))
    else:
        with multiprocessing.get_context('spawn').Pool(jobs) as pool:
            problems = list(bar(pool.imap(look, tasks, chunksize=32)))
    for (path, _), problem in zip(tasks, problems, strict=True):
        if problem:
            findings.add('unreadable photos', f'{path}: {problem}')
    return len(missing)


def _problem(task: tuple[str, tuple[int, int]], fast: bool) -> str | None:
    path, size = task
    try:
        found = photo_size(Path(path))
        if not fast:
            with Image.open(path) as photo:
                photo.load()
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error).removeprefix(f'{path}: ')
    return None if found == size else f'{found} (height, width), its annotation says {size}'
