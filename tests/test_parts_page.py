"""docs/parts.md: each of its lines is a model that builds, learns and gives masks; and no part is left out."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from test_readme import blocks, commands

from mgfe_ris.apis import load_config

PAGE = (Path(__file__).parents[1] / 'docs/parts.md').read_text(encoding='utf-8')
LINES = commands(PAGE)


def part_of(words: list[str]) -> tuple[str, str]:
    """The place and the name of the part, as the first option of its line says."""
    place, _, name = words[4].partition('=')
    return place.removeprefix('model.').removesuffix('.type'), name


def test_each_part_of_the_table_has_a_line():
    table = [row.split('`')[1] for row in PAGE.splitlines() if row.startswith('| `')]
    assert table == [part_of(words)[1] for words in LINES] and len(blocks(PAGE, 'bash')) == 1


@pytest.mark.parametrize('words', LINES, ids=lambda words: part_of(words)[1])
def test_a_line_builds_learns_and_gives_masks(words, small_model, one_thread):
    python, tool, name, flag, *options = words
    assert (python, tool, flag) == ('python', 'tools/train.py', '--cfg-options')
    cfg = load_config(name, options)
    cfg.merge_from_dict(small_model)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    place, kind = part_of(words)
    part = model.get_submodule(place)
    assert {type(one).__name__ for one in (part if isinstance(part, torch.nn.ModuleList) else [part])} == {kind}

    ids, mask = torch.randint(50, 300, (2, 9)), torch.arange(9) < torch.tensor([[5], [9]])
    target = torch.zeros(2, 1, 64, 64, dtype=torch.long)
    target[:, :, 20:40, 10:50] = 1
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one)) for one in target]
    batch = dict(inputs=torch.randn(2, 3, 64, 64), token_ids=ids, word_mask=mask, data_samples=samples)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        loss, _ = model.parse_losses(model(**batch, mode='loss'))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] > losses[1] > losses[2], losses
    without = {name.rpartition('.')[0] for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert without == ({'encoder.out_norms.0'} if place == 'decode_head' else set()), 'the page says so'
    assert not [name for name, p in part.named_parameters() if not p.grad.isfinite().all() or not p.grad.any()]
    with torch.no_grad():
        found = model.eval()(**batch, mode='predict')
    assert [sample.pred_sem_seg.data.shape for sample in found] == [(1, 64, 64)] * 2
    assert all(set(sample.pred_sem_seg.data.unique().tolist()) <= {0, 1} for sample in found)
