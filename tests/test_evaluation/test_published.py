"""The ``published`` field: numbers, and the protocol without which they say nothing."""

import pytest

from mgfe_ris.evaluation import Protocol, read_published

PROTOCOL = {'score_at': 'input', 'size': 480, 'training': 'single'}
FIELD = {'protocol': PROTOCOL, 'refcoco': {'val': {'oIoU': 72.73, 'P@0.5': 84.46}, 'testA': {'mIoU': 76.0}}}


def test_numbers_come_with_their_protocol():
    numbers, protocol = read_published(FIELD, 'refcoco', 'val')
    assert numbers == {'oIoU': 72.73, 'P@0.5': 84.46} and protocol == Protocol('input', 480, 'single')
    assert str(protocol) == 'masks compared at 480 x 480, trained on that set alone'
    assert str(Protocol('photo', 640, 'mixed')) == "masks compared at the photo's own size, trained on several"
    assert read_published(FIELD, 'refcoco', 'testA')[0] == {'mIoU': 76.0}


def test_what_nobody_printed_is_none():
    assert read_published(FIELD, 'refcoco', 'testB') is read_published(FIELD, 'gref-umd', 'val') is None
    assert read_published({}, 'refcoco', 'val') is None


@pytest.mark.parametrize(
    ('field', 'said'),
    [
        ({'refcoco': FIELD['refcoco']}, 'needs score_at, size and training, and no more'),
        (FIELD | {'protocol': PROTOCOL | {'who': 'x'}}, "needs score_at, size and training, and no more .*'who'"),
        (FIELD | {'protocol': PROTOCOL | {'score_at': 'mask'}}, "score_at must be one of .*; got 'mask'"),
        (FIELD | {'protocol': PROTOCOL | {'training': 'all'}}, "training must be one of .*; got 'all'"),
        (FIELD | {'protocol': PROTOCOL | {'size': 0}}, 'size must be pixels, 1 or more; got 0'),
        (FIELD | {'refcoco': {'val': {'IoU': 70.0}}}, r'refcoco.val: expected oIoU, mIoU, .*; got IoU 70.0'),
        (FIELD | {'refcoco': {'val': {'oIoU': 700.0}}}, 'in percent; got oIoU 700.0'),
        (FIELD | {'refcoco': {'dev': {'oIoU': 70.0}}}, "published.refcoco: no split 'dev'"),
    ],
)
def test_numbers_that_say_nothing_are_refused(field, said):
    with pytest.raises(ValueError, match=said):
        read_published(field, 'refcoco', 'val')
