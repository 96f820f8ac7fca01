"""Results of many photos, as files: written as they come, gone on with after an interruption."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from ...coco_masks import require_coco_masks
from ...output_files import require_empty
from ..config import input_pipeline
from .inferencer import RISInferencer
from .jobs import RESULTS, SETTINGS, Job
from .photos import decode_photo
from .prefetch import ahead
from .result import RISResult, write_image

PART = f'.{SETTINGS}.part'
"""Settings, until they are whole."""


def segment_jobs(
    inferencer: RISInferencer, jobs: Sequence[Job], folder: str | Path, threshold: float | None = None
) -> Iterator[tuple[Job, Exception | None]]:
    """Segment photo by photo and write what is found; what the folder has already is not computed again.

    A run that was killed and is started again, on such a device and with the same batch size, ends with the same
    bytes as one that was not. Memory holds the results of a batch: 5 bytes for each pixel and sentence.

    Args:
        inferencer: whose weights, precision and pipeline the folder remembers.
        jobs: of :func:`read_jobs`.
        folder: a new or empty one, or one with results of the same settings. Gets ``masks/`` and ``overlays/``, PNGs
            by the photo's name, with a number where that is taken, and ``results.jsonl``, a line per sentence.
        threshold: of the score, in (0, 1); None: the model's own, or none, where it draws polygons.

    Returns:
        each job after its end, with what is wrong with its photo, if it is broken. To go on is to compute.

    Raises:
        FileExistsError: a folder with other things in it; at once.
        OSError: a folder that cannot be written, at once or when the disk is full.
        ValueError: a threshold out of range, or of a model without scores, or a folder with results of other
            settings; at once.
        ImportError: pycocotools, which writes the masks into the lines, is not installed; at once.
    """
    require_coco_masks()
    threshold = inferencer.choose_threshold(threshold)
    settings = dict(
        weights=inferencer.fingerprint(),
        precision=inferencer.precision,
        threshold=threshold,
        pipeline=input_pipeline(inferencer.model.cfg),
    )
    return _segment_jobs(inferencer, jobs, _ResultFolder(Path(folder), settings), threshold)


def _segment_jobs(
    inferencer: RISInferencer, jobs: Sequence[Job], folder: '_ResultFolder', threshold: float | None
) -> Iterator[tuple[Job, Exception | None]]:
    broken: dict[str, Exception] = {}
    with folder.file:
        for batch in _batches(jobs, inferencer.batch_size):
            parts = [part for part, _ in batch if part.photo not in broken]
            to_do = [replace(part, sentences=rest) for part in parts if (rest := folder.missing(part))]
            # one for each batch, though nothing is decoded ahead of the next: it would join photos across batches
            found = inferencer.stream(((part.photo, part.sentences) for part in to_do), threshold)
            broken |= folder.add(zip(to_do, found, strict=True))
            yield from ((job, broken.get(job.photo)) for _, job in batch if job)


def _batches(jobs: Iterable[Job], size: int) -> Iterator[list[tuple[Job, Job | None]]]:
    """Parts of jobs, up to ``size`` sentences together; with the last part of a job comes the job.

    By their place among all jobs, done ones included: which photos share a forward changes the last bits of what it
    computes, and must not depend on where a run was killed.
    """
    batch: list[tuple[Job, Job | None]] = []
    for job in jobs:
        rest = job.sentences
        while rest:
            part, rest = replace(job, sentences=rest[:size]), rest[size:]
            if sum(len(before.sentences) for before, _ in batch) + len(part.sentences) > size:
                yield batch
                batch = []
            batch.append((part, None if rest else job))
    if batch:
        yield batch


def require_same_settings(path: Path, now: dict) -> None:
    """Whether the results beside a file of settings may be gone on with.

    Args:
        path: the file, of JSON.
        now: the settings of this run, as JSON gives them back.

    Raises:
        ValueError: other settings, or no settings of ours.
    """
    try:
        before = json.loads(path.read_text(encoding='utf-8'))
        changed = [f'{key} {before[key]!r}, now {now[key]!r}' for key in now if before[key] != now[key]]
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is of another tool; name another folder') from error
    if changed:
        settings = '; '.join(changed)
        raise ValueError(f'{path.parent} holds results of other settings: {settings}; name another folder')


def precision_in(folder: str | Path) -> str | None:
    """Of the results that a folder holds, which whoever goes on with them must take; None: it says none."""
    try:
        said = json.loads(Path(folder, SETTINGS).read_text(encoding='utf-8'))['precision']
    except (KeyError, OSError, RecursionError, TypeError, ValueError):  # what is wrong, segment_jobs says
        return None
    return said if said in ('fp32', 'bf16') else None


def lock_folder(folder: Path, file: IO) -> None:
    """For this process alone, until it closes ``file`` of the folder, or ends.

    Raises:
        ValueError: another one has it.
    """
    try:
        import fcntl
    except ImportError:  # on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(f'{folder}: another run is writing there; wait, or name another folder') from error


class _ResultFolder:
    """Files of results, which go on where they stopped; for one run at a time.

    Attributes:
        file: ``results.jsonl``, open to append; whoever is done closes it.
    """

    def __init__(self, folder: Path, settings: dict):
        self.folder = folder
        now = json.loads(json.dumps(settings))
        self._require_ours(now)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # it may name what nobody asked for
            raise OSError(f'{folder}: this folder cannot be made ({error.strerror})') from error
        self.file = open(folder / RESULTS, 'ab')  # noqa: SIM115
        self.done: set[tuple[str, str]] = set()
        self.tried: Counter[str] = Counter()
        self.names: set[str] = set()  # in lower case: not every file system tells Dog from dog
        try:
            lock_folder(folder, self.file)
            self._require_ours(now)  # still: another run may have been faster
            self._write_settings(now)
            self._read()
        except Exception:
            self.file.close()
            raise

    def _require_ours(self, now: dict) -> None:
        """Or empty, but for what is left of a run that was killed ahead of its settings."""
        if (path := self.folder / SETTINGS).is_file():
            return require_same_settings(path, now)
        left = {path.name: path.stat().st_size for path in self.folder.iterdir()} if self.folder.is_dir() else {}
        if left.get(RESULTS) != 0 or left.keys() - {RESULTS, PART}:
            require_empty(self.folder)

    def _write_settings(self, now: dict) -> None:
        if not (path := self.folder / SETTINGS).is_file():
            part = self.folder / PART
            part.write_text(json.dumps(now, indent=2) + '\n', encoding='utf-8')
            part.replace(path)

    def _read(self) -> None:
        """Half a line, of a run that was killed, is cut off."""
        whole = 0
        with open(self.folder / RESULTS, 'rb') as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b'\n'):
                    break
                try:
                    found = json.loads(line)
                    self.done.add((found['photo'], found['sentence']))
                    self.names.add(found['name'].lower())
                except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
                    raise ValueError(f'{file.name}, line {number}: no result of ours; name another folder') from error
                whole += len(line)
        self.file.truncate(whole)

    def missing(self, job: Job) -> tuple[str, ...]:
        """Sentences of a job without a result."""
        return tuple(sentence for sentence in job.sentences if (job.photo, sentence) not in self.done)

    def add(self, found: Iterable[tuple[Job, list[RISResult] | Exception]]) -> dict[str, Exception]:
        """Write a batch, pictures first and lines last: what has a line is whole.

        Returns:
            photos that are broken, and how.
        """
        broken, done, lines = {}, [], []
        for job, written in ahead(self._write_pictures, self._with_names(found)):
            if isinstance(written, Exception):
                broken[job.photo] = written
            else:
                lines += written
                done += [(job.photo, sentence) for sentence in job.sentences]
        self.file.write(b''.join(lines))
        self.file.flush()
        self.done.update(done)
        return broken

    def _with_names(
        self, found: Iterable[tuple[Job, list[RISResult] | Exception]]
    ) -> Iterator[tuple[Job, list[str], list[RISResult] | Exception]]:
        for job, results in found:
            yield job, [self._free(job.name) for _ in job.sentences], results

    def _free(self, name: str) -> str:
        while True:
            self.tried[name] += 1  # not from 1 each time: ten thousand photos may have one name
            free = name if self.tried[name] == 1 else f'{name}-{self.tried[name]}'
            if free.lower() not in self.names:
                self.names.add(free.lower())
                return free

    def _write_pictures(
        self, job: Job, names: list[str], results: list[RISResult] | Exception
    ) -> tuple[Job, list[bytes] | Exception]:
        """In a thread. Returns the lines, or what is wrong with the photo."""
        if isinstance(results, Exception):
            return job, results
        photo = results[0].photo
        try:
            if isinstance(photo, Path):  # once for all its sentences, and as the model saw it
                photo = decode_photo(photo.read_bytes(), job.photo)
        except (OSError, ValueError) as error:  # it was removed, or written to, meanwhile
            return job, error
        lines = []
        for name, result in zip(names, results, strict=True):
            write_image(result.mask, self.folder / 'masks' / f'{name}.png')
            write_image(replace(result, photo=photo).overlay(), self.folder / 'overlays' / f'{name}.png')
            line = json.dumps({'name': name, **result.to_json(), 'photo': job.photo}, ensure_ascii=False)
            # names of files need not be text: what is none becomes \udc.., which JSON reads as what it was
            lines.append(line.encode(errors='backslashreplace') + b'\n')
        return job, lines
