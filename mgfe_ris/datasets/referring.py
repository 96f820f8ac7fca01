"""Referring expressions of any form as a data set of mmengine."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS

from .cache import open_index
from .distractors import categories, distractors
from .file_names import FileFinder
from .frames import photo_frames
from .index import SharedIndex, check_mask
from .masks import Part
from .photo_files import check_files
from .png_masks import check_mask_value, read_png
from .readers import read_refer, read_rows, refer_files
from .row_files import row_files
from .selection import Samples, Selection, empty_sentences, select_objects, shared_photos


@DATASETS.register_module()
class ReferringDataset(BaseDataset):
    """Samples of a photo, an object's mask and its sentences, one object after the other, photo by photo.

    Each sample is a dict of ``img_path``, ``img_id``, ``ref_id``, ``height``, ``width``, ``segmentation`` (parts, see
    :mod:`mgfe_ris.datasets.masks`), ``sentences`` (list of str) and ``sent_ids``. ``PickSentence`` chooses one.

    For evaluation on files in RefCOCO's form, ``metainfo['distractors']`` counts what else is annotated in the photo of
    each (img_id, ref_id): ``others``, and ``same_category``, where the files say categories; there, ``category`` and
    ``category_id`` are the object's own.

    Args:
        data_root: folder of everything.
        split: ``train``, ``val``, ...
        ann_folder: folder in ``data_root`` with ``instances.json`` and ``refs(<split_by>).p`` or ``.json``, or
            gRefCOCO's ``grefs(<split_by>).json``.
        split_by: who split the data: ``unc``, ``umd``, ``google``, ``berkeley``.
        ann_file: in the place of both: JSON lines, a JSON array or parquet in ``data_root``, a name or a pattern
            (``annotations/*.parquet``), or a folder that Hugging Face's ``datasets`` saved; see
            :func:`mgfe_ris.datasets.readers.read_rows`.
        img_folder: folder in ``data_root`` with the photos; how the names of annotations are looked up in it, see
            :class:`mgfe_ris.datasets.file_names.FileFinder`.
        per_sentence: True: every sentence is a sample (evaluation); False: every object is one (training).
        sentence_key: ``raw`` as the official baseline reads it, or ``sent``, cleaned.
        score_at: ``input``: masks are resized with the photo, as the published protocol has it; ``photo``: for
            evaluation, they keep the photo's own size, and the metric resizes the prediction.
        apart_from: splits whose photos are left out here: those that train and val of G-Ref ``google`` share. How many
            photos are shared with which other split is said in ``metainfo['protocol']``, and so in a test's report.
        no_target: admit sentences without a target, as gRefCOCO has them; their mask is empty.
        mask_value: of the object's pixels in masks that are PNGs, where rows do not say it; see
            :func:`mgfe_ris.datasets.png_masks.read_png`.
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
        mask_value: int | str | Sequence[int] | None = None,
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
        if isinstance(apart_from, str):
            raise ValueError(f'apart_from must be a list of splits; got {apart_from!r}')
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
        self.mask_value = check_mask_value(mask_value)
        self.shuffle_sentences = shuffle_sentences
        self.protocol: dict = dict(
            sentence_key=sentence_key,
            score_at=score_at,
            per_sentence=per_sentence,
            no_target=no_target,
            apart_from=list(apart_from),
        )
        if mask_value is not None:
            self.protocol['mask_value'] = mask_value
        self.distractors: dict[tuple[int, int], dict[str, int | str]] = {}
        self.elsewhere: dict[int, str] = {}
        """Files of photos, by number, that are not where their name says."""
        self.frames: dict[int, tuple[int, bool]] = {}
        """See :func:`mgfe_ris.datasets.frames.photo_frames`."""
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
        if per_sentence:  # not in training, whose checkpoints keep the metainfo
            self._metainfo['distractors'] = self.distractors

    def load_data_list(self) -> Sequence[dict]:
        """Read and check the files; see the class for the samples' keys."""
        index = self._open()
        selection = Selection(
            self.split, self.sentence_key, self.apart_from, self.per_sentence, exchanged=self.shuffle_sentences
        )
        for split in (self.split, *self.apart_from):
            if split not in index.splits:
                raise ValueError(f'{self._source()}: no split {split!r}; there are {sorted(index.splits)}')
        self._find_photos(index, selection)
        self.protocol['shared_photos'] = shared_photos(index, selection)
        self._warn(index, selection)
        samples = Samples(index, selection, self._check(index, select_objects(index, selection)))
        if not samples:
            lack = 'photo with two objects' if self.shuffle_sentences else 'sentence that is not empty'
            lack += f', apart from the photos of {self.apart_from}' if self.apart_from else ''
            raise ValueError(f'{self._source()}: split {self.split!r} has no {lack}')
        if self.per_sentence and self.split_by is not None:
            files = refer_files(self._source(), self.split_by)
            chosen = np.unique(samples.rows[:, 0])
            self.distractors.update(_by_ids(index, chosen, distractors(index, *files), *categories(index, *files)))
        return samples

    def get_data_info(self, idx: int) -> dict:
        """The sample of that number, before the pipeline."""
        info = super().get_data_info(idx)
        info['segmentation'] = [self._found(part) for part in info['segmentation']]
        info['img_path'] = self._place(self.data_list.shared, photo := info.pop('photo'))
        info.pop('img_name')
        if photo in self.frames:
            info['orientation'], info['stored_frame'] = self.frames[photo]
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
        """PNGs of masks lie among the photos, or beside them."""
        if not (isinstance(part, dict) and 'png' in part):
            return part
        return {'png': str(self._finder().mask(part['png'])), 'value': part.get('value', self.mask_value)}

    def _finder(self, names: Callable[[], Iterable[str]] = tuple) -> FileFinder:
        return FileFinder(self.data_root, self._photos(), names)

    def _place(self, index: SharedIndex, photo: int) -> str:
        """The file of a photo, by number."""
        if (inside := index.photo_inside(photo)) is not None:
            return str(inside)
        return self.elsewhere.get(photo) or str(self._photos() / index.photo_name(photo))

    def _find_photos(self, index: SharedIndex, selection: Selection) -> None:
        """Look for photos that are not where their name says, and join those that are one under several names.

        Of all splits, where names may mean the same photo; else only those of this split.
        """
        finder = self._finder(index.photo_names)
        kin = index.kin
        alike = np.isin(kin, kin[kin != np.arange(len(kin))]) & (index.inside == 0)
        chosen = np.unique(index.photo[select_objects(index, selection)])
        wanted = set(chosen.tolist())
        self.elsewhere = {}
        same: dict[int, int] = {}
        first: dict[str, int] = {}
        for photo in np.union1d(np.flatnonzero(alike), chosen).tolist():
            if index.inside[photo]:
                continue
            name = index.photo_name(photo)
            try:
                place = str(finder.photo(name))
            except ValueError:  # it lies elsewhere
                if photo in wanted:
                    raise
                continue
            if place != str(self._photos() / name):
                self.elsewhere[photo] = place
            if alike[photo] and first.setdefault(place, photo) != photo:
                same[photo] = first[place]
        index.join_photos(same)

    def _open(self) -> SharedIndex:
        """All splits of the annotation files."""
        source = self._source()
        if self.split_by is not None:
            split_by = self.split_by
            return open_index(source, refer_files(source, split_by), lambda: read_refer(source, split_by))
        files = row_files(source)
        if not files:
            raise FileNotFoundError(f'{source}: no such file. Set data_root and ann_file to where it lies')
        return open_index(source, files, lambda: read_rows(*files))

    def _warn(self, index: SharedIndex, selection: Selection) -> None:
        log = MMLogger.get_current_instance()
        if len(empty := empty_sentences(index, selection)):
            sentence, owner = empty[0]
            log.warning(
                f'{len(empty)} empty sentences are left out; the first is sent_id {index.sent_id[sentence]} of '
                f'ref_id {index.ref_id[owner]}'
            )
        if shared := self.protocol['shared_photos']:
            log.warning(
                f'{self._source()}: photos of {self.split} that other splits have, too: {shared}. Set apart_from to '
                'leave them out'
            )

    def _check(self, index: SharedIndex, chosen: np.ndarray) -> dict[int, tuple[int, int]]:
        """What this split must not hold, and what its photos say -> sizes of photos that the files do not say."""
        if not self.no_target and (without := index.without_mask()[chosen]).any():
            raise ValueError(
                f'{self._source()}, {index.place(chosen[without][0])}: no mask, or an empty one. Set no_target=True if '
                'such sentences mean nothing in the photo, as in gRefCOCO'
            )
        photos = {photo: self._place(index, photo) for photo in np.unique(index.photo[chosen]).tolist()}
        headers = check_files({place: index.size(photo) for photo, place in photos.items()}, may_be_stored=True)
        shown = {photo: headers[place].size for photo, place in photos.items()}
        turned = {photo: headers[place] for photo, place in photos.items() if headers[place].orientation > 1}
        if 1 < index.reach <= 100 and min(map(min, shown.values()), default=0) > 150:
            MMLogger.get_current_instance().warning(
                f'{self._source()}: all polygons lie within 100 x 100 pixels, and all photos are larger. If they are '
                'in percent, make pixels of them: x * width / 100, y * height / 100'
            )
        self.frames = photo_frames(index, chosen, turned, self._found, self._source()) if turned else {}
        sizes = {photo: size for photo, size in shown.items() if photo in turned or not any(index.size(photo))}
        for i in chosen[np.isin(index.photo[chosen], [photo for photo in sizes if not any(index.size(photo))])]:
            place, photo = f'{self._source()}, {index.place(i)}', int(index.photo[i])
            size = turned[photo].stored if self.frames.get(photo, (1, False))[1] else sizes[photo]
            if check_mask(index.parts(i), size, place) and not self.no_target:
                raise ValueError(f'{place}: the mask is empty')
        self._check_pngs(index, np.intersect1d(chosen, index.pngs), shown)
        return sizes

    def _check_pngs(self, index: SharedIndex, chosen: np.ndarray, shown: dict[int, tuple[int, int]]) -> None:
        """The headers of all, and the pixels of a few: those of all would take minutes."""
        pngs: dict[str, tuple[int, int]] = {}
        for i in chosen.tolist():
            photo = int(index.photo[i])
            parts = [part for part in map(self._found, index.parts(i)) if isinstance(part, dict) and 'png' in part]
            # which of its sizes a turned photo's mask has shows when it is read
            pngs |= {part['png']: (0, 0) if photo in self.frames else shown[photo] for part in parts}
        check_files(pngs, 'PNG')
        for i in chosen[:: max(1, len(chosen) // _PNGS_READ)].tolist():
            for part in map(self._found, index.parts(i)):
                if isinstance(part, dict) and 'png' in part and not read_png(**part).any() and not self.no_target:
                    raise ValueError(f'{self._source()}, {index.place(i)}: {part["png"]} has no pixel of the object')


_PNGS_READ = 100


def _by_ids(
    index: SharedIndex, chosen: np.ndarray, counts: np.ndarray, category: np.ndarray, names: dict[int, str]
) -> dict[tuple[int, int], dict[str, int | str]]:
    """What :mod:`mgfe_ris.datasets.distractors` knows of some objects; -1 is left out."""
    keys = zip(index.img_id[index.photo[chosen]].tolist(), index.ref_id[chosen].tolist(), strict=True)
    found: dict[tuple[int, int], dict[str, int | str]] = {}
    for key, (others, same), own in zip(keys, counts[chosen].tolist(), category[chosen].tolist(), strict=True):
        found[key] = dict(others=others)
        if same >= 0:
            found[key]['same_category'] = same
        if own >= 0:
            found[key] |= dict(category=names[own], category_id=own)
    return found
