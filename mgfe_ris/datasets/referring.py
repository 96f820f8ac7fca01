"""Referring expressions of any form as a data set of mmengine."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmengine.structures import BaseDataElement
from mmseg.registry import DATASETS

from ..coco_masks import require_coco_masks
from ..data_parts import split_names
from .cache import open_index
from .distractors import categories, distractors
from .file_names import FileFinder
from .frames import photo_frames
from .index import SharedIndex, check_mask
from .masks import Part
from .photo_files import check_files
from .png_masks import check_mask_value, read_png
from .readers import read_refer, read_rows, refer_files
from .reviewed import excluded_sentences, read_excluded
from .row_files import row_files
from .selection import Samples, Selection, count_excluded, empty_sentences, select_objects, shared_photos


@DATASETS.register_module()
class ReferringDataset(BaseDataset):
    """Samples of a photo, an object's mask and its sentences, one object after the other, photo by photo.

    Each sample is a dict of ``img_path``, ``img_id``, ``ref_id``, ``height``, ``width``, ``segmentation`` (parts, see
    :mod:`mgfe_ris.datasets.masks`), ``sentences`` (list of str) and ``sent_ids``. ``PickSentence`` chooses one.

    What metrics want to know beside stands in the metainfo of each packed sample: for evaluation on files in RefCOCO's
    form ``others``, which counts what else is annotated in the photo, and, where the files say categories,
    ``same_category`` and the object's own ``category`` and ``category_id``; with ``exclude``, ``reviewed_out``; and
    ``part``, where a ``ConcatDataset`` holds several.

    Args:
        data_root: folder of everything.
        split: ``train``, ``val``, ..., or a list of them: ``['train', 'val']``.
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
        exclude: JSON file in ``data_root`` with the refs and sentences that a review found wrong,
            ``{"ref_id": [...], "sent_id": [...]}``. With ``per_sentence`` they are tested and marked, and metrics come
            for all and for the rest, ``reviewed/oIoU``; without it they are left out.
        no_target: admit sentences without a target, as gRefCOCO has them; their mask is empty.
        mask_value: of the object's pixels in masks that are PNGs, where rows do not say it; see
            :func:`mgfe_ris.datasets.png_masks.read_png`.
        shuffle_sentences: a control, not a data set: hand every object of a photo the sentences of another.
            A photo with a single object is left out. What a model scores here, it scores without listening.
        indices: the first samples, that many, or the last, if negative; or a list of their numbers.
        data_prefix: mmengine's name for ``img_folder``: ``dict(img_path='images')``.
        pipeline, lazy_init, metainfo, test_mode, max_refetch: mmengine's; ``filter_cfg`` is for classes derived from
            this one, and ``serialize_data`` changes nothing: processes share the annotations.

    Raises:
        FileNotFoundError: missing files, or photos that refs point to (counted, the first one named).
        ValueError: both or neither of ann_folder and ann_file; an unknown split (those that exist are listed) or
            sentence_key; indices beyond the samples; ids to exclude that no ref or sentence has (counted, the first
            named); refs to missing annotations, masks that do not decode or are missing; photos that are no image
            or of another size than annotated (counted, the first named).
    """

    METAINFO = dict(classes=('background', 'target'))

    def __init__(
        self,
        data_root: str,
        ann_folder: str | None = None,
        split_by: str | None = None,
        split: str | Sequence[str] = 'train',
        pipeline: Sequence = (),
        ann_file: str | None = None,
        img_folder: str | None = None,
        per_sentence: bool = False,
        sentence_key: str = 'raw',
        score_at: str = 'input',
        apart_from: Sequence[str] = (),
        exclude: str | None = None,
        no_target: bool = False,
        mask_value: int | str | Sequence[int] | None = None,
        shuffle_sentences: bool = False,
        lazy_init: bool = False,
        metainfo: dict | None = None,
        indices: int | Sequence[int] | None = None,
        data_prefix: dict | None = None,
        filter_cfg: dict | None = None,
        serialize_data: bool = False,
        test_mode: bool = False,
        max_refetch: int = 1000,
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
        if indices is not None and (not isinstance(indices, (int, list, tuple, range)) or not indices):
            raise ValueError(f'indices must be a number of samples, not 0, or a list of numbers; got {indices!r}')
        if filter_cfg is not None and type(self).filter_data is BaseDataset.filter_data:
            MMLogger.get_current_instance().warning('filter_cfg does nothing: there is no filter_data to read it')
        self.ann_folder = ann_folder
        self.split_by = split_by
        self.rows_file = ann_file  # mmengine joins its own ann_file to data_root
        self.splits = split_names(split)
        self.split = '+'.join(self.splits)
        self.img_folder = _img_folder(img_folder, data_prefix)
        self.per_sentence = per_sentence
        self.sentence_key = sentence_key
        self.score_at = score_at
        self.apart_from = tuple(apart_from)
        self.exclude = exclude
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
        self.elsewhere: dict[int, str] = {}
        """Files of photos, by number, that are not where their name says."""
        self.frames: dict[int, tuple[int, bool]] = {}
        """See :func:`mgfe_ris.datasets.frames.photo_frames`."""
        if exclude is not None:
            self.protocol['exclude'] = dict(file=exclude)  # and counts, when it is read
        if len(self.splits) > 1:
            self.protocol['split'] = list(self.splits)
        if indices is not None:
            self.protocol['indices'] = indices if isinstance(indices, int) else list(indices)
        self.left_out: np.ndarray | None = None
        self.part: int | None = None
        self._counted: np.ndarray | None = None
        metainfo = dict(metainfo or {})
        # not through mmengine: it takes a string for a file name and reads ./val, or fails where that is a folder
        (split_name,) = split_names(metainfo.pop('split', self.split))
        super().__init__(
            data_root=data_root,
            metainfo=metainfo,
            pipeline=list(pipeline),
            serialize_data=False,  # the index is shared already
            lazy_init=lazy_init,
            indices=indices,
            filter_cfg=filter_cfg,
            test_mode=test_mode,
            max_refetch=max_refetch,
        )
        self._metainfo['split'] = split_name
        self._metainfo['protocol'] = self.protocol

    def load_data_list(self) -> Sequence[dict]:
        """Read and check the files; see the class for the samples' keys."""
        require_coco_masks()
        index, selection = self.index, self.selection()
        self._find_photos(index, selection)
        self.protocol['shared_photos'] = shared_photos(index, selection)
        if self.exclude is not None:
            self.protocol['exclude'] = dict(file=self.exclude, **count_excluded(index, selection))
        self._warn(index, selection)
        samples = Samples(index, selection, self._check(index, select_objects(index, selection)))
        marked = samples.marked()
        if marked.all():  # or there are none
            lack = 'photo with two objects' if self.shuffle_sentences else 'sentence that is not empty'
            lack += f', apart from the photos of {self.apart_from}' if self.apart_from else ''
            lack += ", apart from the photos of other data sets' splits" if self.left_out is not None else ''
            lack += f', apart from what {self.exclude} lists' if self.exclude else ''
            raise ValueError(f'{self._source()}: split {self.split!r} has no {lack}')
        if self.per_sentence and self.split_by is not None:
            self._counted = distractors(index, *refer_files(self._source(), self.split_by))
        return samples

    @cached_property
    def index(self) -> SharedIndex:
        """All splits of the annotation files; no photo is looked at."""
        source = self._source()
        if self.split_by is not None:
            split_by = self.split_by
            return open_index(source, refer_files(source, split_by), lambda: read_refer(source, split_by))
        files = row_files(source)
        if not files:
            raise FileNotFoundError(f'{source}: no such file. Set data_root and ann_file to where it lies')
        return open_index(source, files, lambda: read_rows(*files))

    def selection(self) -> Selection:
        """What is asked for of the index."""
        index = self.index
        for split in (*self.splits, *self.apart_from):
            if split not in index.splits:
                raise ValueError(f'{self._source()}: no split {split!r}; there are {sorted(index.splits)}')
        return Selection(
            self.splits,
            self.sentence_key,
            self.apart_from,
            self.per_sentence,
            exchanged=self.shuffle_sentences,
            left_out=self.left_out,
            excluded=self._excluded(),
        )

    def leave_out(self, photos: np.ndarray, why: dict) -> None:
        """Have no sample of these photos, by their numbers in the index; ``why``: for the protocol."""
        self.left_out, self.protocol['left_out'] = photos, why
        if self._fully_initialized:
            self._fully_initialized: bool = False
            self.full_init()

    @property
    def origin(self) -> dict[str, str]:
        """Which files and split: the arguments that say it."""
        named = dict(ann_folder=self.ann_folder, split_by=self.split_by, ann_file=self.rows_file, split=self.split)
        return {key: value for key, value in named.items() if value is not None}

    def get_data_info(self, idx: int) -> dict:
        """The sample of that number, before the pipeline."""
        info = super().get_data_info(idx)
        info['segmentation'] = [self._found(part) for part in info['segmentation']]
        info['img_path'] = self._place(self.index, photo := info.pop('photo'))
        info.pop('img_name')
        if photo in self.frames:
            info['orientation'], info['stored_frame'] = self.frames[photo]
        return {**info, 'score_at': self.score_at, 'no_target': self.no_target}

    def prepare_data(self, idx: int) -> Any:
        """The sample after the pipeline, and what is known of it beside, whatever ``meta_keys`` the pipeline packs."""
        packed = super().prepare_data(idx)
        found = packed.get('data_samples') if isinstance(packed, dict) else None
        for sample in found if isinstance(found, list) else [found]:  # several: a photo that is tested in several ways
            if isinstance(sample, BaseDataElement):
                sample.set_metainfo(self.known_of(idx))
        return packed

    def photo_of(self, idx: int) -> int | str:
        """A number, or name, that the samples of one photo share."""
        self.full_init()
        if not isinstance(self.data_list, Samples):  # what the filter_data of a derived class left
            return self.data_list[idx]['img_name']
        return int(self.data_list.shared.photo[self.data_list.rows[idx, 0]])

    def get_cat_ids(self, idx: int) -> list[int]:
        """The object's category, for mmengine's ``ClassBalancedDataset``; none in rows, which say none."""
        self.full_init()
        if self._categories is None or not isinstance(self.data_list, Samples):
            return []
        category = int(self._categories[0][self.data_list.rows[idx, 0]])
        return [] if category < 0 else [category]

    @cached_property
    def _categories(self) -> tuple[np.ndarray, dict[int, str]] | None:
        """Of each object, and the names; None: the files do not say them."""
        return None if self.split_by is None else categories(self.index, *refer_files(self._source(), self.split_by))

    def _get_unserialized_subset(self, indices: int | Sequence[int]) -> Sequence[dict]:
        whole = isinstance(self.data_list, Samples)
        return self.data_list.subset(indices) if whole else super()._get_unserialized_subset(indices)

    def known_of(self, idx: int) -> dict[str, Any]:
        """What metrics want to know of a sample beside; see the class."""
        known: dict[str, Any] = {} if self.part is None else dict(part=self.part)
        if not isinstance(self.data_list, Samples):
            return known
        target, _, sentence = self.data_list.rows[idx].tolist()
        if self._counted is not None and self._categories is not None:
            others, same = self._counted[target].tolist()
            known |= dict(others=others) if same < 0 else dict(others=others, same_category=same)
            numbers, names = self._categories
            if (category := int(numbers[target])) >= 0:
                known |= dict(category=names[category], category_id=category)
        excluded = self.data_list.selection.excluded
        if excluded is not None and self.per_sentence:
            known['reviewed_out'] = bool(excluded[sentence])
        return known

    def _excluded(self) -> np.ndarray | None:
        if self.exclude is None:
            return None
        path = Path(self.data_root) / self.exclude
        return excluded_sentences(self.index, read_excluded(path), path)

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

    def _warn(self, index: SharedIndex, selection: Selection) -> None:
        log = MMLogger.get_current_instance()
        if self.exclude is not None:
            done = 'tested and marked' if self.per_sentence else 'left out'
            counts = {key: count for key, count in self.protocol['exclude'].items() if key != 'file'}
            log.info(f'{self._source()}: {done}, as {self.exclude} lists: {counts}')
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
        either: set[str] = set()  # of a photo that is turned: as it is shown, or as it is stored
        for i in chosen.tolist():
            photo = int(index.photo[i])
            parts = [part for part in map(self._found, index.parts(i)) if isinstance(part, dict) and 'png' in part]
            pngs |= {part['png']: shown[photo] for part in parts}
            either |= {part['png'] for part in parts if self.frames.get(photo, (1,))[0] >= 5}
        check_files(pngs, 'PNG', may_be_turned=either)
        for i in chosen[:: max(1, len(chosen) // _PNGS_READ)].tolist():
            for part in map(self._found, index.parts(i)):
                if isinstance(part, dict) and 'png' in part and not read_png(**part).any() and not self.no_target:
                    raise ValueError(f'{self._source()}, {index.place(i)}: {part["png"]} has no pixel of the object')


_PNGS_READ = 100


def _img_folder(img_folder: str | None, data_prefix: dict | None) -> str:
    prefix = dict(data_prefix or {})
    named = prefix.pop('img_path', None)
    if prefix or (img_folder and named and img_folder != named):
        raise ValueError(
            f'img_folder or data_prefix=dict(img_path=...) names the folder of photos, and nothing else; got '
            f'img_folder={img_folder!r}, data_prefix={data_prefix!r}'
        )
    return img_folder or named or 'images'
