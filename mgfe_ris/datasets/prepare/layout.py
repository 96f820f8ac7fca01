"""Annotations go to ``<data set>/<file>``, photos to ``images/<file_name of instances.json>``.

Where a file is written never depends on a name inside of a zip.
"""

import filecmp
import json
import os
import shutil
import zipfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..plain_pickle import load_plain_pickle
from .disk import digest, extract, link
from .findings import Findings
from .known_facts import KNOWN
from .names import Found, alias, is_junk
from .photos import lay_photos
from .sources import find
from .survey import Survey, read_all


def lay_out(sources: Sequence[Path], out: Path, findings: Findings, progress: bool) -> list[Survey]:
    """Annotations, and the photos that they need; see :func:`prepare` for arguments and errors."""
    unpacked = out / '.unpacked'  # kept when interrupted
    found = find(sources, unpacked, findings)
    out.mkdir(parents=True, exist_ok=True)
    _lay_annotations([file for file in found if file.kind == 'annotations'], out, unpacked, findings)
    surveys = list(read_all(out, findings))
    needed = sorted({name for survey in surveys for name in survey.photos})
    lay_photos([file for file in found if file.kind == 'photo'], needed, out / 'images', findings, progress)
    shutil.rmtree(unpacked, ignore_errors=True)
    return surveys


def _lay_annotations(found: list[Found], out: Path, unpacked: Path, findings: Findings) -> None:
    folders: dict[tuple, dict[str, Found]] = defaultdict(dict)
    for file in found:
        folders[file.path if file.member else file.path.parent, file.names[:-1]][file.name] = file
    for files in folders.values():
        _lay_folder(files, out, unpacked, findings)


def _lay_folder(files: dict[str, Found], out: Path, unpacked: Path, findings: Findings) -> None:
    refs = [name for name in files if name != 'instances.json']
    if not refs:
        return
    first = files[refs[0]]
    if len(refs) == len(files):
        findings.add('annotations', f'{first}: no instances.json beside it')
        return
    paths = {name: path for name, file in files.items() if (path := _on_disk(file, unpacked, findings))}
    if len(paths) < len(files):
        return
    around = first.names[:-1]
    name = next(filter(None, map(alias, reversed(around))), None) or _name_by_counts([paths[ref] for ref in refs])
    if name is None and not around:
        findings.add(
            'annotations', f'{first}: of no data set that is known by counts. Put it into a folder of its name'
        )
        return
    if name is None:
        name = PurePosixPath(around[-1]).with_suffix('').name
        findings.notes.append(f'{first}: of no data set that is known by name or counts; taken for {name!r}')
    if name == 'images' or is_junk(name) or (out / name).is_symlink():
        findings.add('annotations', f'{first}: {out / name} cannot take it. Put it into a folder of its own')
        return
    for file_name, path in paths.items():
        _place(path, out / name / file_name, files[file_name].member is not None, findings)


def _on_disk(file: Found, unpacked: Path, findings: Findings) -> Path | None:
    if file.member is None:
        return file.path.resolve()
    target = unpacked / f'{digest(file)}-{file.name}'
    with zipfile.ZipFile(file.path) as archive:
        return target if extract(archive, file, target, findings) else None


def _name_by_counts(refs: list[Path]) -> str | None:
    for path in refs:
        try:
            content: Any = load_plain_pickle(path) if path.suffix == '.p' else json.loads(path.read_bytes())
            counts = Counter(ref['split'] for ref in content)
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if 'grefs(' in path.name:
            return 'grefcoco'
        for (name, _), splits in KNOWN.items():
            if counts == {split: facts.objects for split, facts in splits.items()}:
                return name
    return None


def _place(path: Path, target: Path, move: bool, findings: Findings) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():
        if not filecmp.cmp(path, target, shallow=False):
            findings.notes.append(f'{target} is kept; {path} has other contents')
    elif move:
        os.replace(path, target)
    else:
        link(path, target)
