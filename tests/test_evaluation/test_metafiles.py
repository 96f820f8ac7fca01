"""Metafiles: what is read, in which order, and what is refused by name."""

import copy

import pytest
import yaml

from mgfe_ris.evaluation import Protocol, find_metafiles, read_metafiles

PROTOCOL = dict(score_at='photo', size=416, training='single')
GOOD = {
    'Collections': [
        {
            'Name': 'Glance',
            'Paper': {'Title': 'A Glance', 'Venue': 'CVPR', 'Year': 2022},
            'Code': {'License': 'MIT'},
            'Here': {'Status': 'equal', 'To': 'the official code', 'Shown By': ['tests/test_glance.py::test_logits']},
            'Weights': {'Released': 'none', 'Converts': 'no'},
        }
    ],
    'Models': [
        {
            'Name': 'glance_swin-tiny',
            'In Collection': 'Glance',
            'Metadata': {'Backbone': 'Swin-T'},
            'Results': [
                {'Source': 'the paper', 'Protocol': PROTOCOL, 'Metrics': {'mIoU': {'refcoco': {'val': 70.0}}}},
                {'Source': 'a blog', 'Metrics': {'mIoU': {'refcoco': {'val': 71.0}}}},
            ],
        }
    ],
}


def write(path, content=GOOD):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def renamed(name, **paper):
    content = copy.deepcopy(GOOD)
    content['Collections'][0]['Name'] = content['Models'][0]['In Collection'] = name
    content['Collections'][0]['Paper'] |= paper
    return content


def test_models_stand_in_their_system_and_protocols_are_read(tmp_path):
    (system,) = read_metafiles([write(tmp_path / 'metafile.yml')])
    (model,) = system['Models']
    first, second = model['Results']
    assert first['Protocol'] == Protocol('photo', 416, 'single') and second['Protocol'] is None


def test_files_are_found_and_systems_come_by_year_then_name(tmp_path):
    undated = renamed('undated')
    del undated['Collections'][0]['Paper']['Year']
    write(tmp_path / 'projects/metafile.yml', undated)
    write(tmp_path / 'projects/b/metafile.yml', renamed('b'))
    write(tmp_path / 'projects/a/metafile.yml', renamed('A'))
    write(tmp_path / 'configs/c/metafile.yml', renamed('c', Year=2021))
    assert [system['Name'] for system in read_metafiles(find_metafiles(tmp_path))] == ['c', 'A', 'b', 'undated']
    with pytest.raises(FileNotFoundError, match='expected a checkout of the repository'):
        find_metafiles(tmp_path / 'configs')


@pytest.mark.parametrize(
    ('place', 'value', 'said'),
    [
        (('Collections', 0, 'Here', 'Shown By'), [], "Glance: Here.Status is 'equal', so Here.Shown By must say more"),
        (('Collections', 0, 'Here', 'Status'), 'nothing', "is 'nothing', so Here.Missing must say more"),
        (('Collections', 0, 'Here', 'Status'), 'near', r"Here.Status must be one of \['equal'"),
        (
            ('Collections', 0, 'Paper'),
            'A Glance',
            r"Glance: Paper needs the fields \['Title', 'Venue'\]; got 'A Glance'",
        ),
        (('Collections', 0, 'Paper', 'Year'), '2022', "Paper.Year must be a number; got '2022'"),
        (('Collections', 0, 'Weight'), {}, r"Collections has no \['Weight'\]; there are"),
        (('Models', 0, 'Metadata'), {}, r"glance_swin-tiny: Metadata needs \['Backbone'\]"),
        (('Models', 0, 'In Collection'), 'Look', "metafile.yml: .* in each model an In Collection; 'Look'"),
        (('Models', 0, 'Results', 0, 'Protocol', 'score_at'), 'screen', 'protocol.score_at must be one of'),
        (('Models', 0, 'Results', 0, 'Metrics', 'IoU'), {'refcoco': {'val': 70.0}}, 'got IoU 70.0'),
        (('Models', 0, 'Results', 0, 'Metrics', 'mIoU', 'refcoco'), {'dev': 70.0}, "refcoco: no split 'dev'"),
        (('Models', 0, 'Results', 0, 'Metrics', 'mIoU', 'refcoco'), {'val': 700.0}, 'in percent; got mIoU 700.0'),
        (
            ('Models', 0, 'Results', 0, 'Doubt'),
            'a guess',
            r"Doubt is of numbers that are printed as oIoU; got \['mIoU'\]",
        ),
        (('Models', 0, 'Results', 0, 'Metrics'), 70.0, 'metafile.yml: expected a Name in each entry'),
        (('Collection',), [], 'expected two lists, Collections and Models'),
    ],
)
def test_what_is_wrong_is_named(tmp_path, place, value, said):
    content = copy.deepcopy(GOOD)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ValueError, match=said):
        read_metafiles([write(tmp_path / 'metafile.yml', content)])


def test_no_yaml_and_two_of_one_name_are_refused(tmp_path):
    paths = [write(tmp_path / name / 'metafile.yml') for name in 'ab']
    with pytest.raises(ValueError, match=r'b/metafile\.yml: a second system of the name Glance'):
        read_metafiles(paths)
    paths[0].write_text('Collections: [')
    with pytest.raises(ValueError, match=r'a/metafile\.yml: no YAML'):
        read_metafiles(paths)
