"""Who may import whom in mgfe_ris: what the README says of its folders, and nothing in a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mgfe_ris

ROOT = Path(mgfe_ris.__file__).parent
LAYERS = ('datasets', 'models', 'evaluation', 'profiling', 'visualization')
"""They import nothing of one another."""
ORDER = ('config', 'onnx_segmentor', 'model', 'infer export experiments')
"""Of what is in ``apis``, from the ground up: each may import those before it; those in one place, not one another."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


MODULES = {name_of(path): path for path in ROOT.rglob('*.py')}


def imported_by(module: str) -> Iterator[str]:
    """The modules of ours that a file names, at its top or within a function."""
    path = MODULES[module]
    package = module if path.name == '__init__.py' else module.rpartition('.')[0]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            above = package.split('.')[: len(package.split('.')) - node.level + 1] if node.level else []
            source = '.'.join([*above, *([node.module] if node.module else [])])
            names = {f'{source}.{alias.name}' for alias in node.names}
            yield from names & MODULES.keys() or {source} & MODULES.keys()


IMPORTS = {module: set(imported_by(module)) for module in MODULES}


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f'{package}.')


def arrows(start: str, end: str) -> list[tuple[str, str]]:
    """Imports from one place of mgfe_ris to another."""
    start, end = f'mgfe_ris.{start}', f'mgfe_ris.{end}'
    return [(a, b) for a, found in IMPORTS.items() if within(a, start) for b in found if within(b, end)]


def test_imports_are_read():
    assert 'mgfe_ris.models.encoders.text' in IMPORTS['mgfe_ris.models.encoders']
    assert 'mgfe_ris.structures' in IMPORTS['mgfe_ris.models.base'] and arrows('apis', 'engine')


@pytest.mark.parametrize('layer', LAYERS)
def test_a_layer_imports_no_other_one(layer):
    above = ('engine', 'apis')
    assert not [arrow for other in (*LAYERS, *above) if other != layer for arrow in arrows(layer, other)]


def test_engine_lies_below_apis():
    assert not arrows('engine', 'apis')


def test_rooms_of_apis_import_downwards():
    rooms = [(floor, room) for floor, names in enumerate(ORDER) for room in names.split()]
    there = {name.split('.')[2] for name in MODULES if within(name, 'mgfe_ris.apis') and name.count('.') > 1}
    assert there == {room for _, room in rooms} | {'cpu', 'errors'}  # these two import nothing of apis
    assert not [arrow for alone in ('cpu', 'errors') for arrow in arrows(f'apis.{alone}', 'apis')]
    for floor, room in rooms:
        for other_floor, other in rooms:
            if room != other and floor <= other_floor:
                assert not arrows(f'apis.{room}', f'apis.{other}'), (room, other)


def test_no_circles():
    TopologicalSorter(IMPORTS).prepare()  # raises a CycleError that names the files
