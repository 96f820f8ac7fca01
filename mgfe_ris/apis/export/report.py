"""What ``tools/test.py --out`` wrote about a checkpoint."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ...models.checkpoints import fingerprint

FIELDS = dict(
    config=str,
    checkpoint=str,
    weights=str,
    data=dict,
    protocol=dict,
    input_size=list,
    evaluator=list,
    mask_rule=dict,
    masks=str,
    protocols=dict,
    truncated_sentences=int,
    tta=(str, type(None)),
)
PROTOCOL = dict(sentence_key=str, score_at=str, per_sentence=bool, no_target=bool, apart_from=list, shared_photos=dict)


def read_report(report: str | Path | Mapping[str, Any] | None) -> dict[str, Any]:
    """Read and check a ``metrics.json``, or what is in it.

    Returns:
        ``metrics``: ``{'val/oIoU': percent, ...}``, and what else the test wrote: ``checkpoint``, ``protocol``, ...;
        ``{}`` for None.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such report: not JSON, no percentages, or fields of another form.
    """
    if report is None:
        return {}
    source = 'metrics' if isinstance(report, Mapping) else report
    found = dict(report) if isinstance(report, Mapping) else _read_json(Path(report))
    if wrong := _wrong_with(found):
        raise ValueError(f'{source}: {wrong}; expected the metrics.json that tools/test.py --out writes')
    return found


def read_report_of(model: nn.Module, path: str | Path) -> dict[str, Any]:
    """The report in a file, of this model's weights.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_report`; a report of other weights.
    """
    report = read_report(path)
    if 'weights' not in report:
        raise ValueError(f'{path} does not say of which weights it is, as older ones; run tools/test.py --out again')
    if report.get('weights') != fingerprint(model.state_dict()):
        raise ValueError(
            f'{path} is of other weights, of {report.get("checkpoint")!r} as they were then; test these with '
            'tools/test.py --out'
        )
    return report


def _read_json(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file; tools/test.py --out writes metrics.json')
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path}: no JSON file ({error})') from error


def _wrong_with(report: Any) -> str | None:
    """In words; None if nothing is."""
    if not isinstance(report, dict) or not isinstance(report.get('metrics'), dict) or not report['metrics']:
        return 'it has no "metrics"'
    for name, value in report['metrics'].items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value <= 100:  # NaN is in no range
            return f'{name} is {value!r}, no percentage'
    if wrong := _wrong_field(report, FIELDS):
        return wrong
    if len(report.get('input_size', (0, 0))) != 2:
        return f'input_size is {report["input_size"]!r}, not height and width'
    # a data set or metric of somebody else's may have no settings
    for kept in (*report.get('protocol', {}).values(), *report.get('evaluator', ())):
        if kept is not None and (wrong := _wrong_field(kept, PROTOCOL)):
            return wrong
    return None


def _wrong_field(fields: Any, forms: Mapping[str, Any]) -> str | None:
    if not isinstance(fields, dict):
        return f'{fields!r} stands where settings should'
    wrong = (key for key, form in forms.items() if key in fields and not isinstance(fields[key], form))
    return next((f'{key} is {fields[key]!r}' for key in wrong), None)
