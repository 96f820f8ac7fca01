"""From photos and sentences to masks."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from torch import nn

from ...datasets.records import is_blank
from ...models.checkpoints import fingerprint
from ...structures import NO_SCORES, SegDataSample, gives_scores, logits_of, mask_of, scores_and_mask
from ..config import input_pipeline
from ..model import load_trained
from ..onnx_segmentor import OnnxSegmentor
from .photos import MAX_PIXELS, Photo, open_photo
from .precision import PRECISIONS, choose_precision
from .prefetch import ahead
from .result import RISResult

MAX_WORDS, MAX_LETTERS = 200, 2000
"""Of a sentence; published models read the first 20 tokens."""


class RISInferencer:
    """Photos and sentences -> masks, through the config's own test pipeline.

    What ``tools/test.py`` computes, to the last bit where the batches are the same: all sentences about a photo at
    once, as the published configs test them. In other batches float32 rounds otherwise.

    Example::

        inferencer = RISInferencer('work_dirs/quickstart')
        result = inferencer('photo.jpg', 'the red circle')
        result.mask, result.box, result.confidence
        result.save('masks')

    Args:
        model: a folder that training, ``save_folder`` or ``export_onnx`` wrote; a checkpoint in such a folder; a
            config, by path or by the name of one of ours; or a model from :func:`load_model`, on its own device, which
            is put into eval mode.
        checkpoint: weights for a config; default: what ``tools/train.py`` left of it in ``work_dirs``.
        device: default: cuda if there is one, else cpu.
        precision: ``fp32``, or ``bf16`` by autocast: half the memory, faster where the hardware has it. ``auto`` takes
            bf16 where a timed product says that it pays; an exported model stays fp32.
        batch_size: samples a forward at most.
        max_pixels: larger photos are refused.
        private_addresses: whether photos may have addresses of this machine, its network, and what else is not public.

    Attributes:
        precision: ``fp32`` or ``bf16``, also where ``auto`` was asked for.

    Raises:
        FileNotFoundError: no such config, folder or checkpoint; names that are near are said.
        ValueError: weights of another model, a config without weights or without a test pipeline, CUDA asked for where
            there is none, a precision or batch size that does not exist.
    """

    def __init__(
        self,
        model: str | Path | nn.Module,
        checkpoint: str | Path | None = None,
        device: str | torch.device | None = None,
        precision: str = 'fp32',
        batch_size: int = 16,
        max_pixels: int = MAX_PIXELS,
        private_addresses: bool = False,
    ):
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be 'fp32', 'bf16' or 'auto'; got {precision!r}")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f'batch_size must be 1 or more; got {batch_size!r}')
        self.model: Any = _loaded(model, checkpoint, device).eval()
        exported = isinstance(self.model, OnnxSegmentor)
        if precision == 'bf16' and exported:
            raise ValueError(f'an exported model computes in fp32; got precision {precision!r}')
        if 'test_dataloader' not in self.model.cfg:
            raise ValueError(f'{self.model.cfg.filename}: no test_dataloader, whose pipeline prepares photos')
        if precision == 'auto':
            precision = 'fp32' if exported else choose_precision(self.model.data_preprocessor.device)
        self.precision = precision
        self.batch_size = batch_size
        self.max_pixels = max_pixels
        self.private_addresses = private_addresses

    def __call__(
        self,
        photos: Photo | Sequence[Photo],
        sentences: str | Sequence[str] | Sequence[Sequence[str]],
        threshold: float | None = None,
        bgr: bool = False,
    ) -> Any:
        """Segment what the sentences mean.

        Args:
            photos: one, or a list of them; see :func:`open_photo` for their forms.
            sentences: about one photo, one or a list; about a list of photos, one for all, or a list with one or
                several for each.
            threshold: of the score, in (0, 1), above which a pixel belongs to the object. None: the model's own, which
                is what tests score; a model that draws polygons has none.
            bgr: arrays and tensors have their channels as OpenCV has them.

        The first photo that is broken ends a call; :meth:`stream` goes on.

        Returns:
            :class:`RISResult`; a list of them for several sentences; a list of what each photo gives for a list of
            photos.

        Raises:
            FileNotFoundError: no such photo.
            ValueError: not a photo, an empty, unreadable or endless sentence, lists that do not go together; a
                threshold, where it cannot be meant.
        """
        jobs = _pair(photos, sentences)
        for _, asked in jobs:
            check_sentences(asked)
        found = []
        with closing(self.stream(jobs, threshold, bgr)) as stream:
            for job, results in zip(jobs, stream, strict=True):
                if isinstance(results, Exception):
                    raise results
                found.append(results[0] if isinstance(job[1], str) else results)
        return found if isinstance(photos, (list, tuple)) else found[0]

    def stream(
        self, jobs: Iterable[tuple[Photo, str | Sequence[str]]], threshold: float | None = None, bgr: bool = False
    ) -> Generator[list[RISResult] | Exception, None, None]:
        """Any number of photos in constant memory: photos are decoded a few ahead, in threads.

        Args:
            jobs: photo and sentences each. A picture in memory must stay as it is until its results are there.
            threshold, bgr: as of a call.

        Returns:
            for each job in turn a result per sentence; or the ``OSError`` or ``ValueError`` that says what is wrong
            with its photo or sentences.

        Raises:
            ValueError: a threshold out of range, or one of a model that draws polygons, at once.
        """
        return self._stream(map(_check_job, jobs), self.choose_threshold(threshold), bgr)

    def _stream(
        self, jobs: Iterable[tuple[Photo, str | Sequence[str]]], threshold: float | None, bgr: bool
    ) -> Generator[list[RISResult] | Exception, None, None]:
        group: list[_Prepared] = []
        with closing(ahead(partial(self._try_to_prepare, bgr=bgr), jobs)) as photos:
            for prepared in photos:
                if group and not (isinstance(prepared, _Prepared) and self._may_join(group, prepared)):
                    yield from self._segment(group, threshold)
                    group = []
                if isinstance(prepared, _Prepared):
                    group.append(prepared)
                else:
                    yield prepared
            if group:
                yield from self._segment(group, threshold)

    @property
    def gives_scores(self) -> bool:
        """Whether pixels have scores; False: the model draws polygons, and its results have masks alone."""
        return gives_scores(self.model)

    @property
    def threshold(self) -> float | None:
        """Of the score, as the model's authors have it; None: there are no scores."""
        return self.model.mask_rule.threshold if self.gives_scores else None

    def choose_threshold(self, threshold: float | None) -> float | None:
        """The one that is asked for, or, for None, the model's own.

        Raises:
            ValueError: no probability strictly between 0 and 1; or any, of a model that draws polygons.
        """
        if threshold is None:
            return self.threshold
        check_threshold(threshold)
        if not self.gives_scores:
            raise ValueError(f'{NO_SCORES}, which could be above {threshold}; leave the threshold away')
        return threshold

    def prepare(self, photo: Photo, sentences: str | Sequence[str], bgr: bool = False) -> dict[str, list]:
        """What a loader would hand to the model's preprocessor: ``inputs`` and ``data_samples``, one per sentence."""
        prepared = self._prepare(photo, sentences, bgr)
        return dict(inputs=prepared.inputs, data_samples=prepared.samples)

    def understands(self, sentence: str) -> bool:
        """Whether the tokenizer knows a word of it; if not, a mask has nothing to do with the sentence.

        Raises:
            ValueError: a sentence of characters that the tokenizer leaves out.
        """
        return self.model.data_preprocessor.tokenizer.knows(sentence)

    def unmet(self, sentence: str) -> tuple[str, ...] | None:
        """Its words that no sentence of the training had, of a model that learned all its words there; None: it is no
        such, since its text encoder was pretrained, or it is not known to be one."""
        return self.model.data_preprocessor.tokenizer.unmet(sentence)

    def fingerprint(self) -> str:
        """Of the weights: the same for models that compute the same."""
        exported = isinstance(self.model, OnnxSegmentor)
        return self.model.fingerprint() if exported else fingerprint(self.model.state_dict())

    def _try_to_prepare(self, photo: Photo, sentences: str | Sequence[str], bgr: bool) -> '_Prepared | Exception':
        try:
            return self._prepare(photo, sentences, bgr)
        except (OSError, ValueError) as error:
            return error

    def _prepare(self, photo: Photo, sentences: str | Sequence[str], bgr: bool) -> '_Prepared':
        texts = check_sentences(sentences)
        understood = [self.understands(text) for text in texts]
        source = open_photo(photo, bgr, self.max_pixels, self.private_addresses)
        # its own for each photo: what a transform keeps of a file may be out of date when the file comes again
        pipeline = Compose(input_pipeline(self.model.cfg))
        if isinstance(source, Path):
            info: dict = dict(img_path=str(source))
        else:
            info = dict(img_path='', img=np.ascontiguousarray(source[..., ::-1]))
        prepared = _Prepared(source, texts, understood, [], [])
        for i, text in enumerate(texts):
            packed = pipeline(dict(**info, sentences=[text], sent_ids=[i]))
            prepared.add(packed['inputs'], packed['data_samples'])
        return prepared

    def _may_join(self, group: Sequence['_Prepared'], new: '_Prepared') -> bool:
        """Photos with one sentence each share a batch; several sentences about one photo are one and share its work."""
        single = all(len(prepared.texts) == 1 for prepared in (*group, new))
        return single and len(group) < self.batch_size and new.inputs[0].shape == group[0].inputs[0].shape

    def _segment(self, group: Sequence['_Prepared'], threshold: float | None) -> Iterator[list[RISResult]]:
        inputs = [photo for prepared in group for photo in prepared.inputs]
        samples = [sample for prepared in group for sample in prepared.samples]
        tested: list[SegDataSample] = []
        for begin in range(0, len(samples), self.batch_size):
            part = slice(begin, begin + self.batch_size)
            tested += self.test_step(dict(inputs=inputs[part], data_samples=samples[part]))
        rest = iter(tested)
        for prepared in group:
            asked = zip(prepared.texts, prepared.understood, strict=True)
            yield [
                _result(prepared.source, text, known, self.unmet(text), next(rest), threshold) for text, known in asked
            ]

    def test_step(self, batch: dict[str, Any]) -> list[SegDataSample]:
        """What the model makes of a batch of a loader, in this precision; its samples, with what is predicted."""
        with torch.inference_mode(), self._autocast():
            return self.model.test_step(batch)

    def _autocast(self) -> AbstractContextManager:
        if self.precision == 'fp32':
            return nullcontext()
        return torch.autocast(self.model.data_preprocessor.device.type, torch.bfloat16)


def _loaded(model: Any, checkpoint: str | Path | None, device: str | torch.device | None) -> Any:
    if isinstance(model, (str, Path)):
        model = load_trained(model, checkpoint, device)
    elif not isinstance(model, nn.Module) or not hasattr(model, 'cfg'):
        raise ValueError(f'expected a folder, checkpoint, config or loaded model; got {type(model).__name__}')
    elif checkpoint is not None or device is not None:
        raise ValueError('a loaded model has its weights and its device: give checkpoint and device to load_model')
    # the pipeline's parts are mmseg's, whatever else was used in this process before
    init_default_scope(model.cfg.get('default_scope', 'mmseg'))
    return model


def _check_job(job: Any) -> tuple[Photo, str | Sequence[str]]:
    if not isinstance(job, (list, tuple)) or len(job) != 2:
        raise ValueError(f'a job is a photo and its sentences, (photo, sentences); got {str(job)[:60]!r}')
    return job[0], job[1]


def check_threshold(threshold: float) -> None:
    """Raises a ValueError for what is no probability strictly between 0 and 1."""
    if not isinstance(threshold, Real) or not 0 < threshold < 1:
        raise ValueError(f'threshold must be a number between 0 and 1; got {threshold!r}')


def check_sentences(sentences: str | Sequence[str]) -> list[str]:
    """One or several about a photo -> a list.

    Raises:
        ValueError: none, an empty one, no text, or more than :data:`MAX_WORDS` words or :data:`MAX_LETTERS` letters.
    """
    texts: list = list(sentences) if isinstance(sentences, (list, tuple)) else [sentences]
    if not texts:
        raise ValueError('no sentence: say which object is meant')
    for text in texts:
        _check_sentence(text)
    return texts


def _check_sentence(text: Any) -> None:
    if not isinstance(text, str):
        raise ValueError(f'a sentence must be text; got {type(text).__name__}')
    if is_blank(text):
        raise ValueError('the sentence is empty: say which object is meant')
    if (words := len(text.split())) > MAX_WORDS:
        raise ValueError(f'a sentence of {words} words; say it in at most {MAX_WORDS}: {text[:60]!r}...')
    if len(text) > MAX_LETTERS:  # not every script has spaces
        raise ValueError(f'a sentence of {len(text)} letters; say it in at most {MAX_LETTERS}: {text[:60]!r}...')
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half of a pair, as broken JSON has it
        raise ValueError(f'a sentence with a letter that is none: {text[:60]!r}') from error


@dataclass
class _Prepared:
    source: Path | np.ndarray
    texts: list[str]
    understood: list[bool]
    inputs: list[torch.Tensor]
    samples: list[SegDataSample]

    def add(self, photo: torch.Tensor, sample: SegDataSample) -> None:
        """What a pipeline made for one sentence; of photos that are the same one is kept."""
        if self.inputs and torch.equal(photo, self.inputs[0]):
            photo = self.inputs[0]
        self.inputs.append(photo)
        self.samples.append(sample)


@torch.inference_mode()
def _result(
    source: Path | np.ndarray,
    text: str,
    understood: bool,
    unmet: tuple[str, ...] | None,
    sample: Any,
    threshold: float | None,
) -> RISResult:
    """As :class:`RefSegMetric` has it at the photo's size: logits are resized, then compared; polygons are filled."""
    size, score = sample.ori_shape[:2], None
    if (logits := logits_of(sample)) is None:
        mask = mask_of(None, size, sample)
    else:
        scores, mask = scores_and_mask(logits, size, sample, threshold)
        score = scores.cpu().numpy()
    no_target = sample.get('no_target_logit')
    probability = None if no_target is None else no_target.float().sigmoid().item()
    return RISResult(source, text, score, mask.cpu().numpy(), understood, probability, unmet)


def _pair(photos: Any, sentences: Any) -> list[tuple[Photo, str | Sequence[str]]]:
    if not isinstance(photos, (list, tuple)):
        return [(photos, sentences)]
    each = sentences if isinstance(sentences, (list, tuple)) else [sentences] * len(photos)
    if len(each) != len(photos):
        raise ValueError(f'{len(photos)} photos and {len(each)} entries of sentences: expected one for each photo')
    return list(zip(photos, each, strict=True))
