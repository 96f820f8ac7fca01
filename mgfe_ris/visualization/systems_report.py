"""Published systems as Markdown: what is here of each, and who printed which number; each metric has a table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .markdown import markdown_table

_COLUMNS = {
    'refcoco': ('RefCOCO', ('val', 'testA', 'testB')),
    'refcoco+': ('RefCOCO+', ('val', 'testA', 'testB')),
    'gref-umd': ('G-Ref (umd)', ('val', 'test')),
    'gref-google': ('G-Ref (google)', ('val',)),
}
"""Of each data set that has a column, its name and splits; other numbers have a row each, in a table of their own."""
_METRICS = ('oIoU', 'mIoU')
"""Those with a table of such columns."""
_ABOUT = ('system', 'backbone', 'source', 'masks compared at')
"""Columns that are ahead of all numbers."""
_STATUS = {'equal': 'equal to {To}', 'description': 'written from the description', 'nothing': 'nothing: {Missing}'}

Row = tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]
"""A system, its model, what one source says of it, and of that one metric: ``{data set: {split: percent}}``."""


def systems_report(systems: Sequence[Mapping[str, Any]]) -> str:
    """Markdown of the systems of :func:`mgfe_ris.evaluation.read_metafiles`, in their order."""
    parts = ['## What is here', _what_is_here(systems), '## How it is shown', _how_it_is_shown(systems)]
    for metric in _METRICS:
        parts += [f'## Published {metric}', _numbers(_rows(systems, metric, doubted=False))]
    parts += ['## Printed as oIoU, and probably mIoU']
    parts += [_numbers(_rows(systems, 'oIoU', doubted=True)), _doubts(systems)]
    parts += ['## Other numbers', _others(systems)]
    notes = ((system['Name'], note) for system in systems for note in system.get('Notes', ()))
    parts += ['## Notes', '\n'.join(f'- **{name}.** {" ".join(note.split())}' for name, note in notes)]
    return '\n\n'.join(part.rstrip('\n') for part in parts) + '\n'


def _what_is_here(systems: Sequence[Mapping[str, Any]]) -> str:
    lines = [['system', 'paper', 'backbones', 'here', 'licence of its code', 'released weights', 'what converts']]
    for system in systems:
        paper, code, here, weights = (system[key] for key in ('Paper', 'Code', 'Here', 'Weights'))
        # links are from docs/, where the page stands
        name = f'[{system["Name"]}](../{system["README"]})' if 'README' in system else system['Name']
        backbones = dict.fromkeys(model['Metadata']['Backbone'] for model in system['Models'])
        state = _STATUS[here['Status']].format_map(here) + (f'; but {here["But"]}' if 'But' in here else '')
        license = f'[{code["License"]}]({code["URL"]})' if 'URL' in code else code['License']
        where = ', '.join(str(paper[key]) for key in ('Title', 'Venue', 'Year') if key in paper)
        lines.append([name, where, '; '.join(backbones), state, license, weights['Released'], weights['Converts']])
    return _table(lines)


def _how_it_is_shown(systems: Sequence[Mapping[str, Any]]) -> str:
    lines = [['system', 'tests']]
    for system in systems:
        files: dict[str, list[str]] = {}
        for test in system['Here'].get('Shown By', ()):
            file, _, name = test.partition('::')
            files.setdefault(file, []).append(f'`{name}`')
        found = [f'[{Path(file).name}](../{file}): {", ".join(names)}' for file, names in files.items()]
        if found:
            lines.append([system['Name'], '; '.join(found)])
    return _table(lines)


def _rows(systems: Sequence[Mapping[str, Any]], metric: str, doubted: bool) -> Iterator[Row]:
    """Sources that print a metric; a doubted one is that of which another source says that it is another metric."""
    for system in systems:
        for model in system['Models']:
            for result in model['Results']:
                if metric in result['Metrics'] and ('Doubt' in result) == doubted:
                    yield system, model, result, result['Metrics'][metric]


def _about(system: Mapping[str, Any], model: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """Whose number it is, who printed it, and by which protocol."""
    source = result['Source'] + (f' (**unverified**: {result["Unverified"]})' if 'Unverified' in result else '')
    protocol = result['Protocol']
    if protocol is None:
        return [system['Name'], model['Metadata']['Backbone'], source, 'not said']
    place = f'{protocol.size} x {protocol.size}' if protocol.score_at == 'input' else "the photo's size"
    several = ', trained on several sets' if protocol.training == 'mixed' else ''
    return [system['Name'], model['Metadata']['Backbone'], source, place + several]


def _numbers(rows: Iterator[Row]) -> str:
    """A row for each source, a column for each of the four data sets."""
    header = [f'{title} {" / ".join(splits)}' for title, splits in _COLUMNS.values()]
    lines = [[*_ABOUT, *header]]
    for system, model, result, sets in rows:
        if sets.keys() & _COLUMNS.keys():
            cells = [_cell(sets.get(data, {}), splits) for data, (_, splits) in _COLUMNS.items()]
            lines.append([*_about(system, model, result), *cells])
    return _table(lines)


def _cell(numbers: Mapping[str, float], splits: Sequence[str]) -> str:
    """``72.73 / 75.82 / -``; nothing, where there is no number at all."""
    cells = [f'{numbers[split]:.2f}' if split in numbers else '-' for split in splits]
    return ' / '.join(cells) if numbers else ''


def _doubts(systems: Sequence[Mapping[str, Any]]) -> str:
    rows = _rows(systems, 'oIoU', doubted=True)
    return '\n'.join(f'- **{system["Name"]}**: {result["Doubt"]}.' for system, _, result, _ in rows) + '\n'


def _others(systems: Sequence[Mapping[str, Any]]) -> str:
    """A row for each number without a place in a column of the tables above."""
    lines = [[*_ABOUT, 'set', 'metric', 'percent']]
    for metric in sorted({m for s in systems for model in s['Models'] for r in model['Results'] for m in r['Metrics']}):
        for doubted in (False, True):
            for system, model, result, sets in _rows(systems, metric, doubted):
                for data, splits in sets.items():
                    placed = _COLUMNS[data][1] if data in _COLUMNS and metric in _METRICS else ()
                    for split in sorted(splits.keys() - set(placed)):
                        where = [f'{data} {split}', metric + ', in doubt' * doubted, f'{splits[split]:.2f}']
                        lines.append([*_about(system, model, result), *where])
    return _table(lines)


def _table(lines: Sequence[Sequence[object]]) -> str:
    header, *rows = lines
    return markdown_table(header, rows) + '\n'
