"""RefCOCO, RefCOCO+ and G-Ref as a data set of mmengine."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS
from PIL import Image

from .refcoco_files import load_refer


@DATASETS.register_module()
class ReferringDataset(BaseDataset):
    """Samples of a photo, an object's mask and its sentences.

    Each sample is a dict of ``img_path``, ``img_id``, ``ref_id``, ``height``, ``width``, ``segmentation`` (COCO's),
    ``sentences`` (list of str) and ``sent_ids``. The transform ``PickSentence`` chooses one.

    Args:
        data_root: folder of everything.
        ann_folder: folder in ``data_root`` with ``instances.json`` and ``refs(<split_by>).p``.
        split_by: who split the data: ``unc``, ``umd`` or ``google``.
        split: ``train``, ``val``, ...
        img_folder: folder in ``data_root`` with the photos.
        per_sentence: True: every sentence is a sample (evaluation); False: every object is one (training).
        sentence_key: ``raw`` as the official baseline reads it, or ``sent``, cleaned.
        shuffle_sentences: a control, not a data set: hand every object of a photo the sentences of another.
            A photo with a single object is left out. What a model scores here, it scores without listening.
        pipeline, lazy_init, metainfo: mmengine's.

    Raises:
        FileNotFoundError: missing files, or photos that refs point to (counted, the first one named).
        ValueError: an unknown split (those that exist are listed), refs to missing annotations, an unknown
            sentence_key, photos that are no image or of another size than annotated (counted, the first named).
    """

    METAINFO = dict(classes=('background', 'target'))

    def __init__(
        self,
        data_root: str,
        ann_folder: str,
        split_by: str,
        split: str,
        pipeline: Sequence = (),
        img_folder: str = 'images',
        per_sentence: bool = False,
        sentence_key: str = 'raw',
        shuffle_sentences: bool = False,
        lazy_init: bool = False,
        metainfo: dict | None = None,
    ):
        if sentence_key not in ('raw', 'sent'):
            raise ValueError(f"sentence_key must be 'raw' or 'sent'; got {sentence_key!r}")
        self.ann_folder = ann_folder
        self.split_by = split_by
        self.split = split
        self.img_folder = img_folder
        self.per_sentence = per_sentence
        self.sentence_key = sentence_key
        self.shuffle_sentences = shuffle_sentences
        metainfo = dict(metainfo or {})
        # not through mmengine: it takes a string for a file name and reads ./val, or fails where that is a folder
        split_name = metainfo.pop('split', split)
        super().__init__(data_root=data_root, metainfo=metainfo, pipeline=list(pipeline), lazy_init=lazy_init)
        self._metainfo['split'] = split_name

    def load_data_list(self) -> list[dict]:
        """Read and check the files; see the class for the samples' keys."""
        root = Path(self.data_root)
        refs, instances = load_refer(root / self.ann_folder, self.split_by)
        splits = sorted({ref['split'] for ref in refs})
        if self.split not in splits:
            raise ValueError(f'{root / self.ann_folder}: no split {self.split!r}; there are {splits}')
        images = {image['id']: image for image in instances['images']}
        annotations = {ann['id']: ann for ann in instances['annotations']}
        refs = [ref for ref in refs if ref['split'] == self.split]
        _require_all([r for r in refs if r['ann_id'] not in annotations], 'annotation', 'ann_id', 'ref_id')
        _require_all([r for r in refs if r['image_id'] not in images], 'image', 'image_id', 'ref_id')
        samples = [self._sample(ref, images[ref['image_id']], annotations[ref['ann_id']], root) for ref in refs]
        _check_photos(samples)
        samples = _without_empty_sentences(samples)
        if self.shuffle_sentences:
            samples = _shuffle_sentences(samples)
        if not samples:
            lack = 'photo with two objects' if self.shuffle_sentences else 'sentence that is not empty'
            raise ValueError(f'{root / self.ann_folder}: split {self.split!r} has no {lack}')
        return [s for sample in samples for s in _split_up(sample)] if self.per_sentence else samples

    def _sample(self, ref: dict, image: dict, annotation: dict, root: Path) -> dict:
        return dict(
            img_path=str(root / self.img_folder / image['file_name']),
            img_id=image['id'],
            ref_id=ref['ref_id'],
            height=image['height'],
            width=image['width'],
            segmentation=annotation['segmentation'],
            sentences=[sentence[self.sentence_key] for sentence in ref['sentences']],
            sent_ids=[sentence['sent_id'] for sentence in ref['sentences']],
        )


def _require_all(missing: list[dict], what: str, key: str, name: str) -> None:
    if missing:
        first = missing[0]
        raise ValueError(
            f'{len(missing)} refs point to a missing {what} in instances.json; the first is {name} '
            f'{first[name]} with {key} {first[key]}. Are refs and instances.json of the same data set?'
        )


def _check_photos(samples: list[dict]) -> None:
    """Only the headers are read, some 50 us a photo: a photo that does not fit must not end a training hours later."""
    photos = {s['img_path']: (s['width'], s['height']) for s in samples}
    missing = sorted(path for path in photos if not Path(path).is_file())
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} photos are missing; the first is {missing[0]}. Set data_root and img_folder to where '
            'the photos lie'
        )
    wrong = [f'{path} {problem}' for path, size in sorted(photos.items()) if (problem := _header_problem(path, size))]
    if wrong:
        raise ValueError(
            f'{len(wrong)} photos do not fit their annotation; the first: {wrong[0]}. Download them again, or set '
            'img_folder to the photos of this data set'
        )


def _header_problem(path: str, size: tuple[int, int]) -> str | None:
    try:
        with Image.open(path) as photo:
            turned = photo.getexif().get(0x112, 1) >= 5  # the tag Orientation: on its side
            found = photo.size[::-1] if turned else photo.size
    except OSError:
        return 'is not a readable image'
    return None if found == tuple(size) else f'is {found}, its annotation says {size} (width, height)'


def _without_empty_sentences(samples: list[dict]) -> list[dict]:
    empty = [
        (s['ref_id'], i)
        for s in samples
        for i, text in zip(s['sent_ids'], s['sentences'], strict=True)
        if not text.strip()
    ]
    if not empty:
        return samples
    MMLogger.get_current_instance().warning(
        f'{len(empty)} empty sentences are left out; the first is sent_id {empty[0][1]} of ref_id {empty[0][0]}'
    )
    for s in samples:
        kept = [(text, i) for text, i in zip(s['sentences'], s['sent_ids'], strict=True) if text.strip()]
        s['sentences'], s['sent_ids'] = [text for text, _ in kept], [i for _, i in kept]
    return [s for s in samples if s['sentences']]


def _shuffle_sentences(samples: list[dict]) -> list[dict]:
    """Every object gets the sentences of the next object of its photo."""
    photos: dict[int, list[dict]] = {}
    for sample in samples:
        photos.setdefault(sample['img_id'], []).append(sample)
    shuffled = []
    for group in photos.values():
        if len(group) > 1:
            for sample, other in zip(group, group[1:] + group[:1], strict=True):
                shuffled.append({**sample, 'sentences': other['sentences'], 'sent_ids': other['sent_ids']})
    return shuffled


def _split_up(sample: dict) -> list[dict]:
    return [
        {**sample, 'sentences': [text], 'sent_ids': [i]}
        for text, i in zip(sample['sentences'], sample['sent_ids'], strict=True)
    ]
