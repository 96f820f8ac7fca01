"""Facts about published systems: the ``metafile.yml`` beside each, in OpenMMLab's form, with who printed which number.

The form is that of mmpretrain's metafiles: ``Collections`` (papers) and ``Models`` (their variants). Added are what
is here of a system, with the tests that show it, and beside each of the ``Results`` its source and protocol: one system
has other numbers in other tables.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .published import check_numbers, read_protocol

_STATUS = {'equal': ('To', 'Shown By'), 'description': (), 'nothing': ('Missing',)}
"""What is here computes what other code does, was written from a paper, or is nothing; and what else must be said."""
_FIELDS = {
    'Collections': ({'Name', 'Paper', 'Code', 'Here', 'Weights'}, {'README', 'Notes'}),
    'Paper': ({'Title', 'Venue'}, {'Year'}),
    'Code': ({'License'}, {'URL'}),
    'Here': ({'Status'}, {'To', 'Shown By', 'But', 'Missing'}),
    'Weights': ({'Released', 'Converts'}, set()),
    'Models': ({'Name', 'In Collection', 'Metadata'}, {'Config', 'Results'}),
    'Metadata': ({'Backbone'}, {'Text Encoder'}),
    'Results': ({'Source', 'Metrics'}, {'Protocol', 'Unverified', 'Doubt'}),
}
"""Of each kind of entry: the fields that it must have, and those that it may have."""


def find_metafiles(root: Path) -> list[Path]:
    """Those of a checkout: beside our configs, beside the projects, and one of all systems without a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    found = [*sorted(root.glob('configs/*/metafile.yml')), *sorted(root.glob('projects/**/metafile.yml'))]
    if not found:
        raise FileNotFoundError(
            f'{root}: no metafile.yml in configs/ or projects/; expected a checkout of the repository'
        )
    return found


def read_metafiles(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """The systems of all files, by year, then name: a ``Collections`` entry each, with its ``Models`` in it.

    Metrics are ``{metric: {data set: {split: percent}}}``. ``Protocol`` has become a
    :class:`~mgfe_ris.evaluation.Protocol`, or None where the source says none.

    Raises:
        OSError: a file cannot be read.
        ValueError: it is no YAML; a field is missing, or has no such name; two systems have one name; an "equal" names
            no test, or not to what; a "nothing" does not say what is missing; a metric, a split or a percentage is
            none; a doubt that a number is an oIoU stands beside another metric.
    """
    systems: dict[str, dict[str, Any]] = {}
    for path in paths:
        for system in _read(path):
            if systems.setdefault(system['Name'], system) is not system:
                raise ValueError(f'{path}: a second system of the name {system["Name"]}')
    return sorted(systems.values(), key=lambda system: (system['Paper'].get('Year', 9999), system['Name'].lower()))


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f'{path}: no YAML: {" ".join(str(error).split())}') from error
    if not isinstance(content, dict) or content.keys() != {'Collections', 'Models'}:
        raise ValueError(f'{path}: expected two lists, Collections and Models')
    try:
        systems = {entry['Name']: {**_system(entry), 'Models': []} for entry in content['Collections']}
        for entry in content['Models']:
            systems[entry['In Collection']]['Models'].append(_model(entry))
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'{path}: expected a Name in each entry, in each model an In Collection; {error}') from error
    return list(systems.values())


def _system(entry: dict[str, Any]) -> dict[str, Any]:
    name = entry['Name']
    _check(name, 'Collections', entry)
    for part in ('Paper', 'Code', 'Here', 'Weights'):
        _check(name, part, entry[part])
    if not isinstance(entry['Paper'].get('Year', 9999), int):
        raise ValueError(f'{name}: Paper.Year must be a number; got {entry["Paper"]["Year"]!r}')
    here = entry['Here']
    if here['Status'] not in _STATUS:
        raise ValueError(f'{name}: Here.Status must be one of {[*_STATUS]}; got {here["Status"]!r}')
    for field in _STATUS[here['Status']]:
        if not here.get(field):
            raise ValueError(f'{name}: Here.Status is {here["Status"]!r}, so Here.{field} must say more')
    return entry


def _model(entry: dict[str, Any]) -> dict[str, Any]:
    name = entry['Name']
    _check(name, 'Models', entry)
    _check(name, 'Metadata', entry['Metadata'])
    return {**entry, 'Results': [_result(name, result) for result in entry.get('Results', [])]}


def _result(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    _check(name, 'Results', entry)
    for metric, sets in entry['Metrics'].items():
        for data, splits in sets.items():
            check_numbers(data, {split: {metric: value} for split, value in splits.items()})
    if 'Doubt' in entry and entry['Metrics'].keys() != {'oIoU'}:
        raise ValueError(f'{name}: Doubt is of numbers that are printed as oIoU; got {[*entry["Metrics"]]}')
    protocol = entry.get('Protocol')
    return {**entry, 'Protocol': protocol and read_protocol(protocol)}


def _check(name: str, kind: str, entry: object) -> None:
    """Fields of an entry, by their names."""
    needed, known = _FIELDS[kind]
    if not isinstance(entry, Mapping):
        raise ValueError(f'{name}: {kind} needs the fields {sorted(needed)}; got {entry!r}')
    if missing := needed - entry.keys():
        raise ValueError(f'{name}: {kind} needs {sorted(missing)}')
    if unknown := entry.keys() - needed - known:
        raise ValueError(f'{name}: {kind} has no {sorted(unknown)}; there are {sorted(needed | known)}')
