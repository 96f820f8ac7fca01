"""The page of systems, of made-up ones: that nothing is left out, and what cannot share a column does not."""

import pytest

from mgfe_ris.evaluation import Protocol
from mgfe_ris.visualization import systems_report


@pytest.fixture
def system() -> dict:
    return {
        'Name': 'Glance',
        'Paper': {'Title': 'A | Glance', 'Venue': 'CVPR', 'Year': 2022},
        'README': 'projects/glance/README.md',
        'Code': {'License': 'MIT', 'URL': 'https://example.org'},
        'Here': {'Status': 'equal', 'To': 'the official code', 'But': 'slower', 'Shown By': ['a/b.py::c', 'a/b.py::d']},
        'Weights': {'Released': 'none', 'Converts': 'all'},
        'Notes': ['Folded\n  text.'],
        'Models': [{'Name': 'glance', 'Metadata': {'Backbone': 'Swin-T'}, 'Results': []}],
    }


def result(metrics: dict, **more) -> dict:
    return dict(Source='the paper', Metrics=metrics, Protocol=None) | more


def lines_below(text: str, title: str) -> list[str]:
    return text.partition(f'## {title}\n\n')[2].partition('\n\n')[0].splitlines()[2:]


def test_what_is_known_of_a_system(system):
    text = systems_report([system])
    assert lines_below(text, 'What is here') == [
        r'| [Glance](../projects/glance/README.md) | A \| Glance, CVPR, 2022 | Swin-T | equal to the official code'
        '; but slower | [MIT](https://example.org) | none | all |'
    ]
    assert lines_below(text, 'How it is shown') == ['| Glance | [b.py](../a/b.py): `c`, `d` |']
    assert '- **Glance.** Folded text.\n' in text


def test_each_metric_has_its_table_and_doubts_have_their_own(system):
    two = {'oIoU': {'refcoco': {'val': 50.0, 'testB': 40.5}}, 'mIoU': {'gref-google': {'val': 60}}}
    small = Protocol('input', 480, 'mixed')
    doubted = result({'oIoU': {'refcoco+': {'testA': 70.0}}}, Doubt='it is a guess')
    system['Models'][0]['Results'] = [result(two, Protocol=small, Unverified='heard'), doubted]
    text = systems_report([system])
    about = '| Glance | Swin-T | the paper (**unverified**: heard) | 480 x 480, trained on several sets'
    assert lines_below(text, 'Published oIoU') == [f'{about} | 50.00 / - / 40.50 |  |  |  |']
    assert lines_below(text, 'Published mIoU') == [f'{about} |  |  |  | 60.00 |']
    assert lines_below(text, 'Printed as oIoU, and probably mIoU') == [
        '| Glance | Swin-T | the paper | not said |  | - / 70.00 / - |  |  |'
    ]
    assert '- **Glance**: it is a guess.\n' in text


def test_numbers_without_a_column_have_a_row(system):
    metrics = {'oIoU': {'referit': {'test': 55.5}, 'gref-google': {'val': 61.0, 'test': 62.0}}}
    photo = Protocol('photo', 416, 'single')
    system['Models'][0]['Results'] = [
        result(metrics, Protocol=photo, Doubt='who knows'),
        result({'P@0.5': {'refcoco': {'val': 80.0}}}),
    ]
    text = systems_report([system])
    about = "| Glance | Swin-T | the paper | the photo's size"
    assert lines_below(text, 'Printed as oIoU, and probably mIoU') == [f'{about} |  |  |  | 61.00 |']
    assert lines_below(text, 'Other numbers') == [
        '| Glance | Swin-T | the paper | not said | refcoco val | P@0.5 | 80.00 |',
        f'{about} | referit test | oIoU, in doubt | 55.50 |',
        f'{about} | gref-google test | oIoU, in doubt | 62.00 |',
    ]
