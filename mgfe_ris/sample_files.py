"""A file of every tested sample."""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .data_parts import locate, split_of
from .output_files import whole_file
from .structures import SegDataSample


class SampleFilesHook(Hook):
    """Writes ``<split>/<photo>_<sent_id><suffix>``, whole or not at all; derived classes say what is in it.

    Where that name is another sample's, too (photos of one name in several folders, ids that are not unique), eight
    digits are appended, the same in each process and test.

    A file that cannot be written, on a full disk for one, does not end the test, whose numbers may have taken hours: it
    is the last that is tried.

    Args:
        folder: where to; made if missing.

    Attributes:
        error: what was in the way of a file; None: nothing.
    """

    suffix: str

    def __init__(self, folder: str):
        self.folder = Path(folder)
        self.error: OSError | None = None

    def encode(self, sample: SegDataSample) -> bytes:
        """The content of a sample's file."""
        raise NotImplementedError

    def before_test_epoch(self, runner: Runner) -> None:
        self._shared_names = _shared_names(runner.test_loop.dataloader.dataset)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        folder = self.folder / split_of(runner.test_loop.dataloader.dataset)
        for sample in outputs or ():
            if self.error is None:
                self._write(sample, folder)

    def _write(self, sample: SegDataSample, folder: Path) -> None:
        name = _name(sample.img_path, sample.sent_id)
        if name.casefold() in self._shared_names:
            name += f'_{_digits(sample)}'
        content = self.encode(sample)
        try:
            with whole_file(folder / f'{name}{self.suffix}') as part:
                part.write_bytes(content)
        except OSError as error:
            self.error = error


def _name(img_path: str, sent_id: int) -> str:
    return f'{Path(img_path).stem[:50]}_{sent_id}'  # file systems take 255 bytes, a letter has up to 4


def _shared_names(dataset: BaseDataset) -> set[str]:
    """Of more samples than one; some file systems do not tell a from A."""
    places = (locate(dataset, i) for i in range(len(dataset)))
    samples = (part.get_data_info(i) for part, i in places)
    counts = Counter(_name(s['img_path'], sent_id).casefold() for s in samples for sent_id in s['sent_ids'])
    return {name for name, count in counts.items() if count > 1}


def _digits(sample: SegDataSample) -> str:
    told = '\0'.join(map(str, (sample.img_path, sample.ref_id, sample.sent_id, sample.sentence)))
    return sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()[:8]
