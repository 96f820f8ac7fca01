"""How many photos, objects and sentences the published data sets have."""

from typing import NamedTuple


class SplitFacts(NamedTuple):
    """What a split of a published set holds; None, or no number at all: no firm number is known."""

    images: int | None
    objects: int | None
    """Refs of the file: an object and its sentences."""
    sentences: tuple[int, ...] = ()
    """Each of them is right: sources differ."""


# (data set, who split it) -> split -> facts. Images and objects: as commonly published (the catalogue of TensorFlow
# Datasets, seen for a part of them; for objects also cards of jxu124's data sets at the Hugging Face hub). Sentences:
# FlagEval's page on RefCOCO, rows of evaluation lists made from the files; train of RefCOCO+, train of G-Ref (umd) and
# val of G-Ref (google) are what is left of the totals 141,564 and 95,010. The totals agree with the papers, but for
# RefCOCO: its splits add up to 142,210, the paper says 142,209; so a file with one sentence less in train is not
# called wrong.
KNOWN: dict[tuple[str, str], dict[str, SplitFacts]] = {
    ('refcoco', 'unc'): {
        'train': SplitFacts(16_994, 42_404, (120_624, 120_623)),
        'val': SplitFacts(1_500, 3_811, (10_834,)),
        'testA': SplitFacts(750, 1_975, (5_657,)),
        'testB': SplitFacts(750, 1_810, (5_095,)),
    },
    ('refcoco', 'google'): {
        'train': SplitFacts(19_213, 40_000),
        'val': SplitFacts(4_559, 5_000),
        'test': SplitFacts(4_527, 5_000),
    },
    ('refcoco+', 'unc'): {
        'train': SplitFacts(16_992, 42_278, (120_191,)),
        'val': SplitFacts(1_500, 3_805, (10_758,)),
        'testA': SplitFacts(750, 1_975, (5_726,)),
        'testB': SplitFacts(750, 1_798, (4_889,)),
    },
    ('refcocog', 'umd'): {
        'train': SplitFacts(21_899, 42_226, (80_512,)),
        'val': SplitFacts(1_300, 2_573, (4_896,)),
        'test': SplitFacts(2_600, 5_023, (9_602,)),
    },
    ('refcocog', 'google'): {
        'train': SplitFacts(24_698, 44_822, (85_474,)),
        'val': SplitFacts(4_650, 5_000, (9_536,)),
    },
}

# Sentences of all splits together. gRefCOCO: the released file has 259,859, the paper 278,232: its authors hold some
# back for a challenge (issue 6 of their repository). The first release lacked testA and testB, so its total is unknown.
KNOWN_TOTALS: dict[tuple[str, str], tuple[frozenset[str], tuple[int, ...]]] = {
    ('grefcoco', 'unc'): (frozenset({'train', 'val', 'testA', 'testB'}), (259_859, 278_232)),
}

# Google's splits part objects, not photos: a photo of val may be one of train.
SHARED_PHOTOS = {('refcoco', 'google'), ('refcocog', 'google')}
