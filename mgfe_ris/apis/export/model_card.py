"""What a model's folder says to whoever finds it: filled in from the model, its config and a test's report.

What is not known is left out.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from mmengine.config import Config

from ...data_parts import config_parts, split_names
from ...models.encoders import HFTextEncoder
from ...structures import gives_scores
from ...training_words import WORDS
from ...visualization.markdown import markdown_table
from ..config import CONFIG, input_size

DATASETS = {
    'refcoco': 'RefCOCO',
    'refcoco+': 'RefCOCO+',
    'refcocog': 'G-Ref',
    'refclef': 'RefCLEF',
    'grefcoco': 'gRefCOCO',
    'refshapes': 'RefShapes',
    'refshapes+': 'RefShapes+',
    'refshapesg': 'RefShapesG',
    'grefshapes': 'gRefShapes',
}
"""By ``ann_folder``, all of them English; other data is called by its folder."""
DRAWN = ('refshapes', 'refshapes+', 'refshapesg', 'grefshapes')

MGFE_PAPER = 'Multi-granularity Feature Extraction and Loss Optimization for Referring Image Segmentation'
LAVT_PAPER = 'LAVT: Language-Aware Vision Transformer for Referring Image Segmentation'
PAPERS = {
    'MGFE': MGFE_PAPER,
    'DynamicWeight': MGFE_PAPER,
    'CombineLoss': MGFE_PAPER,
    'PixelWordAttention': LAVT_PAPER,
    'LanguageGate': LAVT_PAPER,
}
"""Where a part is from."""

SETTINGS = (
    *('arch', 'depth', 'depths', 'width', 'embed_dims', 'base_channels', 'window_size', 'patch_size'),
    *('pool_size', 'dice_weight', 'focal_weight', 'class_weight'),
)
"""Of the parts, those that are worth a line of the card."""

CONTROL = '-shuffled'
"""Ends the names of splits with exchanged sentences; no results for a leaderboard."""
REVIEWED = '-reviewed'
"""Ends the names of splits without the sentences that a review found wrong."""

OURS = ('RefSegMetric', 'GeneralizedRefSegMetric')
MEANINGS = {
    'oIoU': 'sum of all intersections over sum of all unions',
    'mIoU': 'mean IoU of the samples',
    'P@': 'P@X: share of the samples with an IoU of at least X',
    'gIoU': 'mean IoU of the samples; no mask where nothing is meant counts 1, a mask there 0',
    'cIoU': 'sum of all intersections over sum of all unions',
    'N-acc': 'share of the sentences that mean nothing for which the mask is empty',
    'T-acc': 'share of the sentences that mean something for which the mask is not empty',
    'Pr@': 'Pr@X: share of the sentences that mean something with an IoU of at least X',
}
"""By the beginning of a metric's name, of our metrics."""


# What a folder's config no longer says


def origin(cfg: Config) -> dict[str, Any]:
    """``name`` of the config and, if known, ``weights``: file or hub name of those that training started from, by part.

    The folder's config keeps it as ``origin``, since it names no weights but the folder's own.
    """
    if 'origin' in cfg:
        return cfg.to_dict()['origin']
    path = Path(cfg.filename or 'mgfe-ris')
    if path.name == CONFIG:  # a folder without a record
        return dict(name=path.parent.name)
    weights = {part: name for part, node in cfg.model.items() if (name := _pretrained(node))}
    if cfg.get('load_from'):
        weights['model'] = Path(cfg.load_from).name
    return dict(name=path.stem, weights=weights)


def _pretrained(node: Any) -> str | None:
    """The weights that a part of the model names, without the place where they lie."""
    if not isinstance(node, dict):
        return None
    steps = node.get('init_cfg') or ()
    for step in [steps] if isinstance(steps, dict) else steps:
        if step.get('type') == 'Pretrained':
            return Path(step['checkpoint']).name
    place = node.get('pretrained')
    if not place:
        return None
    of_hub = re.fullmatch(r'\w[\w.-]*(/[\w.-]+)?', str(place)) and not Path(place).exists()
    return str(place) if of_hub else Path(place).name


# The card


def model_card(
    model: Any, report: Mapping[str, Any], exported: bool = False, int8: Mapping[str, Any] | None = None
) -> str:
    """Markdown with the front matter of the Hugging Face hub.

    Args:
        model: with its config as ``model.cfg``.
        report: of :func:`read_report`; ``{}``: no results.
        exported: the folder is for ``RISInferencer`` only, as ``export_onnx`` writes it.
        int8: the fields of :class:`Int8`, of a graph with integers.
    """
    cfg = model.cfg
    name = origin(cfg)['name']
    blocks = [
        f'---\n{_front_matter(cfg, name, report, exported)}\n---',
        f'# {name}',
        'Referring image segmentation: a photo and a sentence in, the mask of the one object meant out.',
        *_use(cfg, exported, gives_scores(model)),
        *_integers(int8),
        *_parts(model),
        *_training(cfg),
        *_results(cfg, report),
        *_limits(model, report),
        *_papers(cfg),
        '## License',
        'The code that runs the model, MGFE-RIS, is under Apache-2.0. For the weights, no license is stated here. '
        'Whoever publishes them chooses one that the data and the weights they were made from allow, and names it as '
        '`license:` at the head of this file.',
    ]
    return '\n\n'.join(blocks) + '\n'


def _front_matter(cfg: Config, name: str, report: Mapping[str, Any], exported: bool) -> str:
    dataset = _tested_data(cfg, report)
    results = [
        EvalResult(
            task_type='image-segmentation',
            task_name='Referring image segmentation',
            # the hub takes letters, digits and _-. only
            dataset_type=re.sub(r'[^\w.-]', '_', _folder(dataset).replace('+', '-plus'), flags=re.ASCII),
            dataset_name=_dataset_name(dataset),
            dataset_split=split,
            metric_type=metric,
            metric_name=f'{metric} (%)',
            metric_value=round(value, 2),
        )
        for split, values in _by_split(report).items()
        if not split.endswith(CONTROL)
        for metric, value in values.items()
    ]
    data = ModelCardData(
        library_name='mgfe_ris',
        pipeline_tag='image-segmentation',
        tags=['referring-image-segmentation', *(['onnx'] if exported else [])],
        language='en' if _trained_on(cfg, DATASETS) else None,
        model_name=name if results else None,
        eval_results=results or None,
    )
    return data.to_yaml()


def _use(cfg: Config, exported: bool, scores: bool) -> list[str]:
    sentence = 'the red circle' if _trained_on(cfg, DRAWN) else 'the dog on the left'
    found = 'result.score, result.box, result.confidence' if scores else 'result.box; there are no scores'
    snippet = f"""```python
from huggingface_hub import snapshot_download
from mgfe_ris.apis import RISInferencer

folder = snapshot_download('USER/NAME')  # or where this folder lies
result = RISInferencer(folder)('photo.jpg', '{sentence}')
result.mask  # bool array of the photo's size; {found}
result.save('masks')  # the mask, and the photo with it, as PNG
```"""
    lines = ['## Use', 'With MGFE-RIS, the Python package `mgfe_ris`, installed:', snippet]
    if exported:
        return [*lines, 'The model is an ONNX graph, `model.onnx`, and runs with onnxruntime on the CPU.']
    return [*lines, 'The PyTorch model itself is `mgfe_ris.apis.load_model(folder)`. Nothing in the folder is code.']


def _integers(int8: Mapping[str, Any] | None) -> list[str]:
    if not int8:
        return []
    return [
        'Convolutions and linear layers compute with integers of 8 bits (int8), whose ranges are those of '
        f'{int8["sentences"]} sentences of {int8["calibrated_on"]}. On {int8["compared"]} sentences of '
        f'{int8["compared_on"]}, {int8["differ"]:.2%} of the pixels are in the mask of this graph or in that of '
        f'float32, and not in both; the masks overlap with an IoU of {int8["iou"]:.1%}.'
    ]


def _parts(model: Any) -> list[str]:
    parts, neck = model.cfg.model, model.cfg.model.get('neck') or {}
    tokenizer = model.data_preprocessor.tokenizer
    has_marks = tokenizer.tokenizer.num_special_tokens_to_add() > 0  # a list of words has none
    marks = ', the marks of start and end included' if has_marks else ''
    cleaned = ', cleaned as CLIP does (`ftfy`, entities of HTML, lower case)' if tokenizer.clean else ''
    rows = {
        'Visual encoder': _part_of(parts, 'encoder'),
        'Text encoder': _text_encoder(model),
        'Words for each pixel': _part_of(neck, 'attention'),
        'Refined by': _part_of(neck, 'refine'),
        'Weighed by': _part_of(neck, 'weigh'),
        'The decoder reads': neck.get('decoder_reads'),
        'Decoder': _part_of(parts, 'decode_head'),
        'Parameters': f'{sum(p.numel() for p in model.parameters()):,}',
        'Photos': _photos(model.cfg),
        'Sentences': f'{tokenizer.max_tokens} tokens at most{marks}{cleaned}; '
        f'`{type(tokenizer.tokenizer).__name__}` with {len(tokenizer.tokenizer):,} entries',
    }
    return ['## Model', _table(['part', 'value'], rows.items())]


def _text_encoder(model: Any) -> str | None:
    encoder = getattr(model, 'text_encoder', None)
    if not isinstance(encoder, HFTextEncoder):
        return _part_of(model.cfg.model, 'text_encoder')
    text = encoder.model.config
    return f'`{text.model_type}`, {text.num_hidden_layers} layers of width {text.hidden_size}'


def _photos(cfg: Config) -> str | None:
    try:
        height, width = input_size(cfg)
    except ValueError:  # of no fixed size
        return None
    return f'resized to {_pixels(height, width)}'


def _pixels(height: int, width: int) -> str:
    return f'{height} x {width} pixels' + ('' if height == width else ' (height x width)')


def _part(node: Mapping[str, Any] | None) -> str:
    if not node:
        return 'nothing'
    settings = [f'{key} {_value(node[key])}' for key in SETTINGS if node.get(key) is not None]
    return f'`{node["type"]}`' + (f' ({"; ".join(settings)})' if settings else '')


def _part_of(node: Mapping[str, Any], name: str) -> str | None:
    """None where the model, being of another shape, has no such part, or none that a config names by its type."""
    part = node.get(name)
    return None if name not in node or (part and 'type' not in part) else _part(part)


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ', '.join(map(_value, value))
    return f'{value:.3g}' if isinstance(value, float) else str(value)


def _training(cfg: Config) -> list[str]:
    loader, wrapper = cfg.get('train_dataloader'), cfg.get('optim_wrapper')
    if not loader or not wrapper:
        return []
    optimizer, loop, dataset = wrapper.get('optimizer') or {}, cfg.get('train_cfg') or {}, loader.dataset
    schedulers = cfg.get('param_scheduler') or []
    schedulers = [schedulers] if isinstance(schedulers, dict) else schedulers
    length = [f'{loop[key]:,} {word}' for key, word in _LENGTHS.items() if loop.get(key)]
    rates = [f'{key} {optimizer[key]:g}' for key in ('lr', 'weight_decay') if optimizer.get(key) is not None]
    rows = {
        'Starts from': _weights(cfg),
        'Frozen': _frozen(cfg.model),
        'Data': data_in_words(dataset),
        'Length': ', '.join(length) or None,
        'Batch': f'{loader.batch_size} a process' if 'batch_size' in loader else None,
        'Loss': _part_of(cfg.model, 'loss'),
        'Optimizer': f'`{optimizer["type"]}` ({"; ".join(rates)})' if optimizer else None,
        'Learning rate': ', then '.join(f'`{step.type}`' for step in schedulers) or None,
        'Precision': 'mixed' if str(wrapper.get('type')).endswith('AmpOptimWrapper') else None,
        'Gradients clipped at': _clip(wrapper),
    }
    return [
        '## Training',
        'As the config has it.',
        _table(['setting', 'value'], rows.items()),
    ]


def _weights(cfg: Config) -> str | None:
    weights = origin(cfg).get('weights')
    if weights is None:
        return None
    words = dict(encoder='visual encoder', text_encoder='text encoder', model='whole model')
    return ', '.join(f'`{name}` ({words.get(part, part)})' for part, name in weights.items()) or 'random weights'


def _frozen(model: Mapping[str, Any]) -> str | None:
    trained = (model.get('text_encoder') or {}).get('trainable_layers')
    encoder = model.get('encoder') or {}
    parts = [] if trained is None else ['the text encoder' + f' but for its first {trained} layers' * (trained > 0)]
    if (stages := encoder.get('frozen_stages', 0)) > 0:
        parts.append(f'stem and first {stages} of four stages of the visual encoder')
    if encoder.get('norm_eval'):
        parts.append('its batch statistics')
    return ', '.join(parts) or None


_LENGTHS = {'max_epochs': 'epochs', 'max_iters': 'steps'}


def _clip(wrapper: Mapping[str, Any]) -> str | None:
    norm = (wrapper.get('clip_grad') or {}).get('max_norm')
    return None if norm is None else f'a norm of {norm:g}'


def _results(cfg: Config, report: Mapping[str, Any]) -> list[str]:
    found = _by_split(report)
    if not found:
        return ['## Results', 'None are recorded here.']
    names = list(dict.fromkeys(name for values in found.values() for name in values))
    rows = ([split, *(f'{v[name]:.2f}' if name in v else None for name in names)] for split, v in found.items())
    said = f'In percent, on {_dataset_name(_tested_data(cfg, report))}'
    if report.get('checkpoint'):
        said += f', of the checkpoint `{Path(report["checkpoint"]).name}`'
    # another package's mIoU, for one, is the mean over its classes
    foreign = {m.get('prefix') or '' for m in report.get('evaluator', ()) if m and m.get('type') not in OURS}
    meanings = (
        text if key.endswith('@') else f'{key}: {text}'
        for key, text in MEANINGS.items()
        if any(name.rpartition('/')[2].startswith(key) for name in names if name.rpartition('/')[0] not in foreign)
    )
    return ['## Results', f'{said}.', _table(['split', *names], rows), _list(meanings), *_protocol(report)]


def _protocol(report: Mapping[str, Any]) -> list[str]:
    """How it was measured, once for all splits of which the same is true."""
    alike: dict[str, list[str]] = {}
    for split, protocol in report.get('protocol', {}).items():
        if protocol:
            alike.setdefault('; '.join(_in_words(protocol, report.get('input_size'))), []).append(split)
    names = (', '.join(splits) if len(alike) > 1 else 'all splits' for splits in alike.values())
    lines = [f'{name}: {text}' for name, text in zip(names, alike, strict=True) if text]
    if any(split.endswith(CONTROL) for split in _by_split(report)):
        lines.append(f'`{CONTROL}` is a control: every object has the sentences of another one in its photo')
    if report.get('tta') == 'flip':
        lines.append('test-time augmentation: mean with the mirror image, left and right exchanged in the sentence')
    if any(split.endswith(REVIEWED) for split in _by_split(report)):
        lines.append(f'`{REVIEWED}`: without the sentences that a review found wrong')
    lines += [_metric(metric) for metric in report.get('evaluator', ()) if metric]
    if (own := report.get('mask_rule', {}).get('threshold', 0.5)) != 0.5:
        lines.append(f"the model's own threshold, of the score: {own}")
    if 'masks' in report:
        lines.append(f'masks are {report["masks"]}')
    lines += [f'`{name}/`: {text}' for name, text in report.get('protocols', {}).items()]
    return ['How it was measured:', _list(lines)] if lines else []


def _metric(metric: Mapping[str, Any]) -> str:
    settings = [f'{key} {_value(value)}' for key, value in metric.items() if key not in ('type', 'protocols')]
    return f'metrics by `{metric.get("type")}`' + (f' ({"; ".join(settings)})' if settings else '')


def _in_words(protocol: Mapping[str, Any], size: list[int] | None) -> list[str]:
    if parts := protocol.get('parts'):
        return [f'{_dataset_name(part)}, {_splits(part)}: {", ".join(_in_words(part, size))}' for part in parts]
    pixels = f', {_pixels(*size)}' if size else ''
    words: dict[str, dict[Any, str]] = {
        'sentence_key': {'raw': 'sentences as they were written (`raw`)', 'sent': 'cleaned sentences (`sent`)'},
        'per_sentence': {True: 'each sentence a sample', False: 'one random sentence of each object'},
        'score_at': {
            'input': f'masks compared at the size of the input{pixels}',
            'photo': "masks compared at the photo's own size",
        },
        'no_target': {True: 'sentences that mean nothing in the photo included'},
    }
    said = [text for key, texts in words.items() if (text := texts.get(protocol.get(key)))]
    if protocol.get('apart_from'):
        said.append(f'without the photos of {", ".join(protocol["apart_from"])}')
    if 'indices' in protocol:
        said.append(f'indices {protocol["indices"]} of the samples')
    shared = protocol.get('shared_photos') or {}
    return said + [f'{count} of its photos are also in {split}' for split, count in shared.items()]


def _limits(model: Any, report: Mapping[str, Any]) -> list[str]:
    cfg, longest = model.cfg, model.data_preprocessor.tokenizer.max_tokens
    cut = report.get('truncated_sentences')
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    lines = []
    if 'model' not in origin(cfg).get('weights', ()):  # else it may have learned more before
        if _trained_on(cfg, DRAWN):
            lines.append('Trained for this task on drawn shapes only: it never saw a sentence about a photo.')
        if _trained_on(cfg, DATASETS):
            lines.append('Trained for this task on English sentences only.')
    if (met := model.data_preprocessor.tokenizer.met) is not None:
        lines.append(f'All words that it learned are the {len(met):,} of its training sentences, `{WORDS}`.')
    if dataset is not None and not any(part.get('no_target', False) for part in _data_parts(dataset)):
        lines.append('Trained on sentences that mean one object: what is not in the photo may get a mask all the same.')
    text = f'A longer sentence is cut after its first {longest} tokens'
    lines.append(f'{text}.' if cut is None else f'{text}; of those tested, {cut} were.')
    if _photos(cfg):
        lines.append('Whatever the size of a photo, the model sees no more than the pixels named above.')
    if best := re.fullmatch(r'best_(.+)_(?:epoch|iter)_\d+', Path(report.get('checkpoint', '')).stem):
        split = _data_parts((cfg.get('val_dataloader') or {}).get('dataset', {}))[0].get('split')
        if isinstance(split, str) and split in _by_split(report):
            lines.append(f'The checkpoint was chosen by its {best[1]} on {split}, which flatters the results there.')
    return ['## Limits', _list(lines)]


def _papers(cfg: Config) -> list[str]:
    neck = cfg.model.get('neck', {})
    parts = [node.type for node in (neck.get('attention'), neck.get('refine'), neck.get('weigh')) if node]
    parts += [cfg.model.loss.type] if cfg.model.get('loss') else []
    papers: dict[str, list[str]] = {}
    for part in parts:
        if part in PAPERS:
            papers.setdefault(PAPERS[part], []).append(f'`{part}`')
    lines = [f'*{title}* ({", ".join(dict.fromkeys(names))})' for title, names in papers.items()]
    return ['## Papers', _list(lines)] if lines else []


# Words for data


def _by_split(report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """``{'val/oIoU': 62.5, 'val/ris/mIoU': 60}`` -> ``{'val': {'oIoU': 62.5, 'ris/mIoU': 60}}``."""
    found: dict[str, dict[str, float]] = {}
    for key, value in report.get('metrics', {}).items():
        first, _, rest = key.partition('/')
        # what stands before a metric's name may be its prefix, too
        known = first.removesuffix(REVIEWED) in report['protocol'] if report.get('protocol') else rest
        split, name = (first, rest) if known else ('test', key)
        found.setdefault(split, {})[name] = float(value)  # YAML has no numpy numbers
    return found


def _tested_data(cfg: Config, report: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was tested; a report that does not say it was written with the model's own config."""
    return report.get('data') or cfg.test_dataloader.dataset


def _trained_on(cfg: Config, folders: Container[str]) -> bool:
    """Whether on nothing but these."""
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    return dataset is not None and all(_folder(part) in folders for part in _data_parts(dataset))


def _data_parts(dataset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Of a config, or of what a report says of the data."""
    parts: list[Mapping[str, Any]] = dataset.get('parts') or [*config_parts(dict(dataset))]
    return parts


def _folder(dataset: Mapping[str, Any]) -> str:
    """What a data set is called on disk: ``refcoco``; of several, ``refcoco, refcoco+``."""
    return ', '.join(
        dict.fromkeys(
            part.get('ann_folder') or Path(part.get('data_root') or '').name or part.get('type') or 'unknown'
            for part in _data_parts(dataset)
        )
    )


def _dataset_name(dataset: Mapping[str, Any]) -> str:
    if len(parts := _data_parts(dataset)) > 1:
        return ', '.join(dict.fromkeys(map(_dataset_name, parts)))
    folder, split_by = _folder(dataset), parts[0].get('split_by')
    name = DATASETS.get(folder, folder)
    return f'{name} ({split_by})' if split_by and folder not in DRAWN else name


def data_in_words(dataset: Mapping[str, Any]) -> str:
    """Which data and splits a config's data set is, on one line."""
    return '; '.join(map(_trained_part, _data_parts(dataset)))


def _trained_part(dataset: Mapping[str, Any]) -> str:
    return f'{_dataset_name(dataset)}, {_splits(dataset)}{_apart_from(dataset)}'


def _splits(dataset: Mapping[str, Any]) -> str:
    names = split_names(dataset.get('split', 'train'))
    return f'split{"s" if len(names) > 1 else ""} {" and ".join(f"`{name}`" for name in names)}'


def _apart_from(dataset: Mapping[str, Any]) -> str:
    splits = dataset.get('apart_from')
    return f' without the photos of {", ".join(splits)}' if splits else ''


# Markdown


def _table(head: Sequence[str], rows: Iterable[Sequence[str | None]]) -> str:
    """Rows of two cells without the second are left out; in longer ones a missing cell is empty."""
    known = (row for row in rows if len(row) > 2 or row[-1] is not None)
    return markdown_table(head, ([cell or '' for cell in row] for row in known))


def _list(lines: Iterable[str]) -> str:
    return '\n'.join(f'- {line}' for line in lines)
