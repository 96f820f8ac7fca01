"""Referring expressions of any form as a data set of mmengine."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS
from PIL import Image

from .index import Samples, SharedIndex, open_index
from .masks import Part
from .readers import read_refer, read_rows, refer_files


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
        apart_from: splits whose photos are left out here: those that train and val of G-Ref ``google`` share. How many
            photos are shared with which other split is said in ``metainfo['protocol']``, and so in a test's report.
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
        apart_from: Sequence[str] = (),
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
        self.apart_from = tuple(apart_from)
        self.no_target = no_target
        self.shuffle_sentences = shuffle_sentences
        self.protocol: dict = dict(
            sentence_key=sentence_key,
            score_at=score_at,
            per_sentence=per_sentence,
            no_target=no_target,
            apart_from=list(apart_from),
        )
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
        self._metainfo['protocol'] = self.protocol

    def load_data_list(self) -> Sequence[dict]:
        """Read and check the files; see the class for the samples' keys."""
        index = self._open()
        chosen = self._of_split(index)
        self._check(index, chosen)
        rows = _exchanged(index, chosen) if self.shuffle_sentences else np.stack([chosen, chosen], 1)
        sentences = [index.sentences(int(j), self.sentence_key) for _, j in rows]
        self._warn_of_empty(index, chosen)
        if self.per_sentence:
            triples = [(i, j, s) for (i, j), own in zip(rows, sentences, strict=True) for s in own]
        else:
            triples = [(i, j, -1) for (i, j), own in zip(rows, sentences, strict=True) if own]
        if not triples:
            lack = 'photo with two objects' if self.shuffle_sentences else 'sentence that is not empty'
            raise ValueError(f'{self._source()}: split {self.split!r} has no {lack}')
        return Samples(index, np.array(triples), self.sentence_key)

    def get_data_info(self, idx: int) -> dict:
        """The sample of that number, before the pipeline."""
        info = super().get_data_info(idx)
        info['segmentation'] = [self._found(part) for part in info['segmentation']]
        info['img_path'] = str(self._photos() / info.pop('img_name'))
        return {**info, 'score_at': self.score_at, 'no_target': self.no_target}

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

    def _open(self) -> SharedIndex:
        """All splits of the annotation files."""
        source = self._source()
        if self.split_by is not None:
            split_by = self.split_by
            pair = refer_files(source, split_by)
            return open_index(source, pair, lambda: read_refer(source, split_by), self._photo_size)
        files = sorted(source.parent.glob(source.name))
        if not files:
            raise FileNotFoundError(f'{source}: no such file. Set data_root and ann_file to where it lies')
        return open_index(source, files, lambda: read_rows(*files), self._photo_size)

    def _photo_size(self, name: str) -> tuple[int, int]:
        path = self._photos() / name
        return photo_size(path) if path.is_file() else (0, 0)  # if it is of this split, it will be missed below

    def _of_split(self, index: SharedIndex) -> np.ndarray:
        """Numbers of this split's objects, photo by photo, in the order in which photos first come."""
        for split in (self.split, *self.apart_from):
            if split not in index.splits:
                raise ValueError(f'{self._source()}: no split {split!r}; there are {sorted(index.splits)}')
        photos = {name: np.unique(index.photo[index.split == i]) for i, name in enumerate(index.splits)}
        chosen = np.flatnonzero(index.split == index.splits.index(self.split))
        for split in self.apart_from:
            chosen = chosen[~np.isin(index.photo[chosen], photos[split])]
        _, first, photo = np.unique(index.photo[chosen], return_index=True, return_inverse=True)
        own = index.photo[chosen[first]]
        shared = {name: int(np.isin(own, theirs).sum()) for name, theirs in photos.items() if name != self.split}
        self.protocol['shared_photos'] = {name: count for name, count in shared.items() if count}
        if self.protocol['shared_photos']:
            MMLogger.get_current_instance().warning(
                f'{self._source()}: photos of {self.split} that other splits have, too: '
                f'{self.protocol["shared_photos"]}. Set apart_from to leave them out'
            )
        return chosen[np.argsort(first[photo], kind='stable')]

    def _warn_of_empty(self, index: SharedIndex, speakers: np.ndarray) -> None:
        kept = [set(index.sentences(int(i), self.sentence_key)) for i in speakers]
        empty = [
            (index.ref_id[i], index.sent_id[s])
            for i, own in zip(speakers, kept, strict=True)
            if len(own) < len(index.spoken(i))
            for s in index.spoken(i)
            if s not in own
        ]
        if empty:
            MMLogger.get_current_instance().warning(
                f'{len(empty)} empty sentences are left out; the first is sent_id {empty[0][1]} of ref_id {empty[0][0]}'
            )

    def _check(self, index: SharedIndex, chosen: np.ndarray) -> None:
        """What the photos say, and what this split must not hold."""
        if not self.no_target and (without := index.without_mask()[chosen]).any():
            raise ValueError(
                f'{self._source()}: ref_id {index.ref_id[chosen[without][0]]} has no mask. Set no_target=True if its '
                'sentences mean nothing in the photo, as in gRefCOCO'
            )
        files: dict[str, tuple[int, int]] = {}
        for i in np.intersect1d(chosen, index.pngs):
            pngs = [part['png'] for part in index.parts(i) if isinstance(part, dict) and 'png' in part]
            files |= {str(self._photos() / png): index.size(int(index.photo[i])) for png in pngs}
        for photo in np.unique(index.photo[chosen]).tolist():
            files[str(self._photos() / index.photo_name(photo))] = index.size(photo)
        _check_photos(files)


def _exchanged(index: SharedIndex, chosen: np.ndarray) -> np.ndarray:
    """Every object gets the sentences of the next object of its photo."""
    photos: dict[int, list[int]] = {}
    for i in chosen:
        photos.setdefault(int(index.photo[i]), []).append(int(i))
    pairs = [
        (i, j) for group in photos.values() if len(group) > 1 for i, j in zip(group, group[1:] + group[:1], strict=True)
    ]
    return np.array(pairs, int).reshape(-1, 2)


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
