"""The page of published systems: that it is what the command writes, and that its facts are those of its sources."""

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

from mgfe_ris.apis import find_systems, load_config
from mgfe_ris.evaluation import find_metafiles, read_metafiles
from mgfe_ris.visualization import systems_report
from mgfe_ris.visualization.marked_page import BEGIN, END

REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools/analysis_tools/list_systems.py'
PAGE = REPO / 'docs/systems.md'
SYSTEMS = read_metafiles(find_metafiles(REPO))
MODELS = [model for system in SYSTEMS for model in system['Models']]

TABLE_1 = 'Table 1 of the MGFE-RIS paper'
COLUMNS = [
    *(('refcoco', split) for split in ('val', 'testA', 'testB')),
    *(('refcoco+', split) for split in ('val', 'testA', 'testB')),
    *(('gref-umd', 'val'), ('gref-umd', 'test'), ('gref-google', 'val')),
]
PRINTED = """
EFN       62.76 65.69 59.67 51.50 55.24 43.01 -     -     51.93
BUSNet    63.27 66.41 61.39 51.76 56.87 44.13 -     -     50.56
CGAN      64.86 68.04 62.07 51.03 55.51 44.06 51.01 51.69 46.54
VLT       65.65 68.29 62.73 55.50 59.20 49.36 52.99 56.65 52.02
LTS       65.43 67.76 63.08 54.21 58.32 48.02 54.40 54.25 -
SeqTR     67.26 69.79 64.12 54.14 58.93 48.19 -     55.67 55.64
ReSTR     67.22 69.30 64.45 55.78 60.44 48.27 54.48 -     -
MaIL      69.38 71.31 66.76 62.23 65.92 52.06 62.45 62.87 61.81
PCAN      69.51 71.64 64.18 58.25 63.68 48.89 59.98 60.80 57.49
CRIS      70.47 73.18 66.10 62.27 68.08 53.68 59.87 60.36 -
ETRIS     70.51 73.51 66.63 60.10 66.89 50.17 59.82 59.91 57.88
CNNFormer 71.93 76.13 67.74 61.78 67.78 51.77 60.84 62.20 57.38
BarLeRIa  72.40 75.90 68.30 64.00 69.80 55.50 62.40 63.80 61.60
LAVT      72.73 75.82 68.79 62.14 68.38 55.10 61.24 62.09 60.50
MagNet    74.24 77.24 70.15 65.16 70.32 57.14 64.36 65.03 62.13
RISCLIP   73.57 76.46 69.76 64.53 69.61 55.09 63.10 64.09 -
MGFE-RIS  73.96 77.09 70.26 63.31 70.12 54.96 63.33 64.28 62.10
"""
"""Table 1, as it was printed, in its order."""


def section(title: str) -> str:
    found = re.search(rf'(?ms)^## {re.escape(title)}$(.*?)(?=^## |\Z)', systems_report(SYSTEMS))
    assert found, title
    return found[1]


def cells(text: str) -> list[list[str]]:
    """Of the rows of its tables, without the two lines above."""
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if line.startswith('|')]
    return rows[2:]


def test_the_page_is_what_the_command_writes(tmp_path, monkeypatch, capsys):
    page = tmp_path / 'page.md'
    page.write_text(f'{PAGE.read_text(encoding="utf-8").split(BEGIN)[0]}{BEGIN}\nold\n{END}\n')
    (line,) = re.findall(r'(?m)^python (.*list_systems.*)$', PAGE.read_text(encoding='utf-8'))
    assert line == 'tools/analysis_tools/list_systems.py --page docs/systems.md'
    monkeypatch.setattr(sys, 'argv', [str(TOOL), '--page', str(page)])
    runpy.run_path(str(TOOL), run_name='__main__')
    assert f'wrote {page}: {len(SYSTEMS)} systems' in capsys.readouterr().out
    assert page.read_text(encoding='utf-8') == PAGE.read_text(encoding='utf-8'), (
        f'{PAGE} is not what its metafiles say: run the command on it'
    )
    monkeypatch.setattr(sys, 'argv', [str(TOOL)])
    runpy.run_path(str(TOOL), run_name='__main__')
    assert capsys.readouterr().out in page.read_text(encoding='utf-8')


def test_a_page_without_marks_is_left_alone(tmp_path, monkeypatch, capsys):
    page = tmp_path / 'page.md'
    page.write_text('mine')
    monkeypatch.setattr(sys, 'argv', [str(TOOL), '--page', str(page)])
    with pytest.raises(SystemExit, match='2'):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert (
        'expected the lines <!-- the table begins -->' in capsys.readouterr().err
        and page.read_text(encoding='utf-8') == 'mine'
    )


@pytest.mark.parametrize('line', PRINTED.split('\n')[1:-1], ids=lambda line: line.split()[0])
def test_the_papers_row_is_there_with_the_paper_as_its_source(line):
    name, *printed = line.split()
    numbers = {place: float(value) for place, value in zip(COLUMNS, printed, strict=True) if value != '-'}
    (system,) = (system for system in SYSTEMS if system['Name'] == name)
    (sets,) = (
        result['Metrics']['oIoU']
        for model in system['Models']
        for result in model.get('Results', ())
        if result['Source'] == TABLE_1
    )
    assert {(data, split): value for data, splits in sets.items() for split, value in splits.items()} == numbers
    shown = [*cells(section('Published oIoU')), *cells(section('Printed as oIoU, and probably mIoU'))]
    (row,) = (row for row in shown if row[0] == name and row[2] == TABLE_1)
    expected = {place: value for place, value in zip(COLUMNS, printed, strict=True) if value != '-'}
    assert re.findall(r'\d\d\.\d\d', ' '.join(row[4:])) == list(expected.values())


def test_no_number_of_table_1_is_of_another_system():
    named = {line.split()[0] for line in PRINTED.split('\n')[1:-1]}
    found = [s['Name'] for s in SYSTEMS for m in s['Models'] for r in m['Results'] if r['Source'] == TABLE_1]
    assert sorted(found) == sorted(named)


def test_no_column_has_two_metrics():
    """Each number of a table is of the metric above it, and none that is doubted stands in a table of either."""
    doubted = cells(section('Printed as oIoU, and probably mIoU'))
    assert {row[0] for row in doubted} == {'VLT', 'CRIS', 'SeqTR', 'ETRIS', 'BarLeRIa'}
    rows = {metric: cells(section(f'Published {metric}')) for metric in ('oIoU', 'mIoU')}
    for metric, of_metric in rows.items():
        expected = [
            (system['Name'], model['Metadata']['Backbone'], sorted(numbers_of(result['Metrics'][metric])))
            for system in SYSTEMS
            for model in system['Models']
            for result in model['Results']
            if metric in result['Metrics'] and 'Doubt' not in result
        ]
        shown = [(*row[:2], sorted(map(float, re.findall(r'\d\d\.\d\d', ' '.join(row[4:]))))) for row in of_metric]
        assert shown == expected
    assert not [row for row in rows['oIoU'] if row[0] in {'CRIS', 'ETRIS', 'SeqTR', 'BarLeRIa', 'VLT'}]
    sets = {(row[4], row[5]) for row in cells(section('Other numbers'))}
    assert sets == {('grefcoco val', 'cIoU'), ('grefcoco val', 'gIoU'), ('referit test', 'oIoU')}


def test_no_number_is_left_out():
    tables = systems_report(SYSTEMS).partition('## Published oIoU')[2]
    shown = [number for row in cells(tables) for number in re.findall(r'\d\d\.\d\d', ' '.join(row[4:]))]
    results = [result for model in MODELS for result in model['Results']]
    known = [v for r in results for sets in r['Metrics'].values() for splits in sets.values() for v in splits.values()]
    assert sorted(shown) == sorted(f'{value:.2f}' for value in known)


def numbers_of(sets: dict) -> list[float]:
    """In the data sets that have a column."""
    columns = {data for data, _ in COLUMNS}
    return [value for data, splits in sets.items() if data in columns for value in splits.values()]


def test_magnets_own_numbers_stand_beside_those_of_the_paper():
    first, second = (row for row in cells(section('Published oIoU')) if row[0] == 'MagNet')
    assert (first[2], second[2]) == ('README of the code', TABLE_1)
    assert (first[4][:5], second[4][:5]) == ('75.24', '74.24')


@pytest.mark.parametrize('system', [s for s in SYSTEMS if s['Here'].get('Shown By')], ids=lambda system: system['Name'])
def test_what_is_said_to_be_shown_names_tests_that_exist(system):
    for test in system['Here']['Shown By']:
        file, _, name = test.partition('::')
        assert (REPO / file).is_file(), f'{system["Name"]}: no {file}'
        functions = {
            node.name
            for node in ast.parse((REPO / file).read_text(encoding='utf-8')).body
            if isinstance(node, ast.FunctionDef)
        }
        assert name in functions and name.startswith('test_'), f'{system["Name"]}: {file} has no {name}'


@pytest.mark.parametrize('system', SYSTEMS, ids=lambda system: system['Name'])
def test_configs_and_readmes_are_there(system):
    models = [model['Config'] for model in system['Models'] if 'Config' in model]
    assert bool(models) == (system['Here']['Status'] != 'nothing') == ('README' in system)
    for file in (*models, *filter(None, [system.get('README')])):
        assert (REPO / file).is_file(), f'{system["Name"]}: no {file}'


def test_every_system_with_a_small_config_has_a_metafile():
    folders = {path.parent for path in find_systems(REPO / 'projects').values()}
    assert folders and not [folder for folder in folders if not (folder / 'metafile.yml').is_file()]


def test_a_readme_prints_no_other_numbers_than_the_metafile():
    """Of the tables below "Published results"; each such number has one home."""
    read = 0
    for system in SYSTEMS:
        readme = REPO / system.get('README', 'none')
        if readme.parent == REPO or not readme.is_file():
            continue
        found = re.search(r'(?ms)^## Published results$(.*?)(?=^## |\Z)', readme.read_text(encoding='utf-8'))
        assert found, f'{readme}: no section "Published results"'
        tables = '\n'.join(line for line in found[1].splitlines() if line.startswith('|'))
        printed = {float(number) for number in re.findall(r'(?<![\d.])\d\d\.\d\d?(?![\d.])', tables)}
        results = [result for model in system['Models'] for result in model['Results']]
        known = {v for r in results for sets in r['Metrics'].values() for s in sets.values() for v in s.values()}
        assert printed <= known, f'{readme}: {sorted(printed - known)} are not in its metafile'
        read += len(printed)
    assert read > 90


@pytest.mark.parametrize(
    ('name', 'row'), [('LAVT', 'table3_1_baseline'), ('MGFE-RIS', 'table3_5_mgfe_dw_combine-loss')]
)
def test_the_papers_other_tables_agree(name, row):
    """Tables 3 to 5, whose home is the config of their row."""
    published = load_config(REPO / f'configs/ablations/{row}.py').published
    (model,) = (model for system in SYSTEMS if system['Name'] == name for model in system['Models'])
    for metric in ('oIoU', 'mIoU'):
        (sets,) = (result['Metrics'][metric] for result in model['Results'] if metric in result['Metrics'])
        for data in ('refcoco', 'refcoco+', 'gref-umd'):
            assert sets[data]['val'] == published[data].val[metric]
