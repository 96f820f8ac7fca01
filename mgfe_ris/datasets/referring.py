"""Referring expressions of any form as a data set of mmengine."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS
from PIL import Image

from .index import Samples, SharedIndex, write_index
from .masks import Part, check_parts
from .readers import Record, read_refer, read_rows


@DATASETS.register_module()
class ReferringDataset(BaseDataset):
    """Samples of a photo, an object's mask and its sentences, one object after the other, photo by photo.

    Each sample is a dict of ``img_path``, ``img_id``, ``ref_id``, ``height``, ``width``, ``segmentation`` (parts, see
    :mod:`mgfe_ris.datasets.masks`), ``sentences`` (list of str) and ``sent_ids``. ``PickSentence`` chooses one.

    Args:
        data_root: folder of everything.
        split: ``train``, ``val``, ...
        ann_folder: folder in ``data_root`` with ``instances.json`` and ``refs(<split_by>).p`` or ``.json``, or
            gRefCOCO's ``grefs(<split_by>).json``.
        split_by: who split the data: ``unc``, ``umd``, ``google``, ``berkeley``.
        ann_file: in the place of both: JSON lines or parquet in ``data_root``, a name or a pattern
            (``annotations/*.parquet``); see :func:`mgfe_ris.datasets.readers.read_rows`.
        img_folder: folder in ``data_root`` with the photos.
        per_sentence: True: every sentence is a sample (evaluation); False: every object is one (training).
        sentence_key: ``raw`` as the official baseline reads it, or ``sent``, cleaned.
        score_at: ``input``: masks are resized with the photo, as the published protocol has it; ``photo``: for
            evaluation, they keep the photo's own size, and the metric resizes the prediction.
        no_target: admit sentences without a target, as gRefCOCO has them; their mask is empty.
        shuffle_sentences: a control, not a data set: hand every object of a photo the sentences of another.
            A photo with a single object is left out. What a model scores here, it scores without listening.
        pipeline, lazy_init, metainfo: mmengine's.

    Raises:
        FileNotFoundError: missing files, or photos that refs point to (counted, the first one named).
        ValueError: both or neither of ann_folder and ann_file; an unknown split (those that exist are listed) or
            sentence_key; refs to missing annotations, masks that do not decode or are missing; photos that are no image
            or of another size than annotated (counted, the first named).
    """

    METAINFO = dict(classes=('background', 'target'))

    def __init__(
        self,
        data_root: str,
        ann_folder: str | None = None,
        split_by: str | None = None,
        split: str = 'train',
        pipeline: Sequence = (),
        ann_file: str | None = None,
        img_folder: str = 'images',
        per_sentence: bool = False,
        sentence_key: str = 'raw',
        score_at: str = 'input',
        no_target: bool = False,
        shuffle_sentences: bool = False,
        lazy_init: bool = False,
        metainfo: dict | None = None,
    ):
        if sentence_key not in ('raw', 'sent'):
            raise ValueError(f"sentence_key must be 'raw' or 'sent'; got {sentence_key!r}")
        if score_at not in ('input', 'photo'):
            raise ValueError(f"score_at must be 'input' or 'photo'; got {score_at!r}")
        if (ann_folder is None) == (ann_file is None) or (ann_folder is None) != (split_by is None):
            raise ValueError(
                'name either ann_folder and split_by, or ann_file; got '
                f'ann_folder={ann_folder!r}, split_by={split_by!r}, ann_file={ann_file!r}'
            )
        self.ann_folder = ann_folder
        self.split_by = split_by
        self.rows_file = ann_file  # mmengine joins its own ann_file to data_root
        self.split = split
        self.img_folder = img_folder
        self.per_sentence = per_sentence
        self.sentence_key = sentence_key
        self.score_at = score_at
        self.no_target = no_target
        self.shuffle_sentences = shuffle_sentences
        metainfo = dict(metainfo or {})
        # not through mmengine: it takes a string for a file name and reads ./val, or fails where that is a folder
        split_name = metainfo.pop('split', split)
        super().__init__(
            data_root=data_root,
            metainfo=metainfo,
            pipeline=list(pipeline),
            serialize_data=False,  # the index is shared already
            lazy_init=lazy_init,
        )
        self._metainfo['split'] = split_name
        self._metainfo['protocol'] = dict(
            sentence_key=sentence_key, score_at=score_at, per_sentence=per_sentence, no_target=no_target
        )

    def load_data_list(self) -> Sequence[dict]:
        """Read and check the files; see the class for the samples' keys."""
        records = sorted(self._records(), key=_by_photo())
        self._check(records)
        index = write_index(_without_empty_sentences(records, self.sentence_key), self.sentence_key)
        rows = _exchanged(index) if self.shuffle_sentences else _straight(index)
        if self.per_sentence:
            rows = [(i, j, s) for i, j, _ in rows for s in range(index.num_sentences(j))]
        if not rows:
            lack = 'photo with two objects' if self.shuffle_sentences else 'sentence that is not empty'
            raise ValueError(f'{self._source()}: split {self.split!r} has no {lack}')
        return Samples(index, np.array(rows))

    def get_data_info(self, idx: int) -> dict:
        """The sample of that number, before the pipeline."""
        info = super().get_data_info(idx)
        info['segmentation'] = [self._found(part) for part in info['segmentation']]
        return {**info, 'img_path': str(self._photos() / info.pop('img_name')), 'score_at': self.score_at}

    def photo_of(self, idx: int) -> int:
        """A number that the samples of one photo share."""
        self.full_init()
        return int(self.data_list.shared.photo[self.data_list.rows[idx, 0]])

    def _source(self) -> Path:
        return Path(self.data_root) / (self.ann_folder or self.rows_file or '')

    def _photos(self) -> Path:
        return Path(self.data_root) / self.img_folder

    def _found(self, part: Part) -> Part:
        """PNGs of masks lie among the photos."""
        return {'png': str(self._photos() / part['png'])} if isinstance(part, dict) and 'png' in part else part

    def _records(self) -> Iterator[Record]:
        """Of this split; sizes that the files do not say are the photos'."""
        source = self._source()
        if self.split_by is not None:
            records = read_refer(source, self.split_by)
        else:
            files = sorted(source.parent.glob(source.name))
            if not files:
                raise FileNotFoundError(f'{source}: no such file. Set data_root and ann_file to where it lies')
            records = read_rows(*files)
        splits, found = set(), False
        for record in records:
            splits.add(record.split)
            if record.split == self.split:
                found = True
                yield (
                    record if any(record.size) else record._replace(size=photo_size(self._photos() / record.file_name))
                )
        if not found:
            raise ValueError(f'{source}: no split {self.split!r}; there are {sorted(splits)}')

    def _check(self, records: list[Record]) -> None:
        photos = {str(self._photos() / r.file_name): r.size for r in records}
        masks: dict[str, tuple[int, int]] = {}  # of the photo's size, too
        for record in records:
            parts = record.parts
            if not parts and not self.no_target:
                raise ValueError(
                    f'{self._source()}: ref_id {record.ref_id} has no mask. Set no_target=True if its sentences mean '
                    'nothing in the photo, as in gRefCOCO'
                )
            try:
                check_parts(parts, *record.size)
            except ValueError as error:
                raise ValueError(f'{self._source()}: the mask of ref_id {record.ref_id}: {error}') from error
            pngs = [part['png'] for part in parts if isinstance(part, dict) and 'png' in part]
            masks |= {str(self._photos() / png): record.size for png in pngs}
        _check_photos(masks | photos)


def _by_photo() -> Callable[[Record], int]:
    """Key to sort records by photo, in the order in which photos first come."""
    order: dict[str, int] = {}
    return lambda record: order.setdefault(record.file_name, len(order))


def _straight(index: SharedIndex) -> list[tuple[int, int, int]]:
    return [(i, i, -1) for i in range(len(index))]


def _exchanged(index: SharedIndex) -> list[tuple[int, int, int]]:
    """Every object gets the sentences of the next object of its photo."""
    photos: dict[int, list[int]] = {}
    for i in range(len(index)):
        photos.setdefault(int(index.photo[i]), []).append(i)
    return [
        (i, j, -1)
        for group in photos.values()
        if len(group) > 1
        for i, j in zip(group, group[1:] + group[:1], strict=True)
    ]


def _check_photos(photos: dict[str, tuple[int, int]]) -> None:
    """Only the headers are read, some 50 us a photo: a photo that does not fit must not end a training hours later."""
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
        found = photo_size(Path(path))
    except ValueError:
        return 'is not a readable image'
    says = f'{size[::-1]} (width, height)'
    return None if found == tuple(size) else f'is {found[::-1]}, its annotation says {says}'


def photo_size(path: Path) -> tuple[int, int]:
    """(height, width), as EXIF turns it."""
    try:
        with Image.open(path) as photo:
            turned = photo.getexif().get(0x112, 1) >= 5  # the tag Orientation: on its side
            return photo.size if turned else photo.size[::-1]
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{path}: no such photo. Set data_root and img_folder to where the photos lie'
        ) from None
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f'{path}: not a readable image ({error})') from error


def _without_empty_sentences(records: list[Record], key: str) -> Iterator[Record]:
    empty = [(r.ref_id, s.sent_id) for r in records for s in r.sentences if not getattr(s, key).strip()]
    if empty:
        MMLogger.get_current_instance().warning(
            f'{len(empty)} empty sentences are left out; the first is sent_id {empty[0][1]} of ref_id {empty[0][0]}'
        )
    for record in records:
        kept = [s for s in record.sentences if getattr(s, key).strip()] if empty else record.sentences
        if kept:
            yield record._replace(sentences=kept)
