"""Several processes give what one gives."""

import json
from pathlib import Path

import pytest

from mgfe_ris.apis import load_config

PROTOCOLS = dict(small=dict(size=(32, 40), threshold=0.4, added=1e-6, strict=True))
METRICS = [dict(type='RefSegMetric', protocols=PROTOCOLS), dict(type='GeneralizedRefSegMetric', prefix='generalized')]


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """A data root with a few drawn photos, 27 sentences to test in val, 7 in testB."""
    from mgfe_ris.datasets.synthetic import write_refshapes

    root = tmp_path_factory.mktemp('twelve')
    write_refshapes(root, 'refshapes', images=20, seed=3, size=64, progress=False)
    return root


@pytest.fixture
def tested(model_folder, data, tmp_path, run_processes):
    """Tests in so many processes; returns the lines of each split, and metrics.json."""

    def run(count: int, sampler: dict | None, *args: object) -> tuple[dict[str, bytes], dict, list[str]]:
        cfg = load_config(model_folder, data_root=str(data))
        cfg.test_evaluator = METRICS
        cfg.test_dataloader.dataset.score_at = 'photo'
        cfg.test_dataloader.update(num_workers=0, persistent_workers=False, batch_size=3, batch_sampler=sampler)
        cfg.test_cfg = dict(type='SplitsTestLoop', splits=('val', 'testB'), shuffled=('val',))
        cfg.model.data_preprocessor.tokenizer = dict(max_tokens=5)
        cfg.dump(tmp_path / 'tested.py')
        out = tmp_path / f'out_{count}'
        done = run_processes(
            count, 'test.py', tmp_path / 'tested.py', model_folder, '--work-dir', tmp_path / f'work_{count}',
            '--out', out, *args, start=_odd_words,
        )  # fmt: skip
        assert [status for status, _ in done] == [0] * count, '\n'.join(text for _, text in done)[-3000:]
        report = json.loads((out / 'metrics.json').read_text())
        report.pop('written')
        lines = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob('*.jsonl')}
        return lines, report, [text for _, text in done]

    return run


def _odd_words() -> None:
    """A word in each third sentence stands for all that the tokenizer does not know."""
    from mgfe_ris.models.encoders.text import HFTokenizer

    HFTokenizer._has_word = lambda self, tokens: sum(tokens) % 3 > 0


@pytest.mark.parametrize(('count', 'sampler'), [(3, None), (2, dict(type='PhotoBatchSampler'))])
def test_several_processes_write_what_one_writes(tested, count, sampler, monkeypatch):
    lines, report, _ = tested(1, sampler)
    assert {'val.jsonl', 'testB.jsonl', 'val-shuffled.jsonl', 'generalized/val.jsonl'} <= lines.keys()
    assert len(lines['testB.jsonl'].splitlines()) % count, 'nothing is left over: the test is a dud'
    assert report['truncated_sentences'] > report['unknown_sentences'] > 0
    monkeypatch.setattr('mmengine.dist.dist.collect_results_cpu', lambda *_: pytest.fail('through the current folder'))
    assert 'val/small/mIoU' in report['metrics'] and '32 x 40; score above 0.4' in report['protocols']['small']
    others, same, printed = tested(count, sampler)
    assert others == lines
    assert same == report
    # one process speaks
    assert 'Epoch(test)' in printed[0]
    assert all(set(text.splitlines()) <= {'Could not import OneDL'} for text in printed[1:])  # mmengine's own
