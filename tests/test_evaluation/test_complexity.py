"""Tables 2 and 3 of the paper, to the printed digit."""

import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mgfe_ris.apis import load_config
from mgfe_ris.evaluation import Complexity, count_complexity


def count(name: str, **kwargs) -> Complexity:
    cfg = load_config(name, from_scratch=True)
    init_default_scope(cfg.default_scope)
    return count_complexity(MODELS.build(cfg.model), **kwargs)


@pytest.mark.parametrize(
    ('name', 'params', 'gflops'),
    [
        ('table3_1_baseline', '227.74', '192.30'),
        ('table3_2_mgfe', '236.26', '198.22'),
        ('table3_3_combine-loss', '227.74', '192.30'),
        ('table3_4_mgfe_dw', '237.65', '199.16'),
        ('table3_5_mgfe_dw_combine-loss', '237.65', '199.16'),
    ],
)
def test_table_3(name, params, gflops):
    c = count(name)
    assert f'{c.image_params + c.text_params:.2f}' == params
    assert f'{c.image_modules:.2f}' == gflops
    assert f'{c.text_params:.2f}' == '108.89'


def test_attention_products_and_text_encoder_by_hand():
    c = count('mgfe-ris_tiny_refshapes', size=(64, 64), words=10)
    stages = list(zip((16, 32, 64, 128), (32, 16, 8, 4), (4, 4, 4, 4), strict=True))
    words = sum(2 * side**2 * 10 * width for width, side, _ in stages)
    pooled = sum(2 * side**2 * pooled**2 * width for width, side, pooled in stages)
    assert c.image_attention == pytest.approx((words + pooled) / 1e9)
    a_layer = 10 * (4 * 128**2 + 2 * 128 * 256) + 2 * 10 * 10 * 128
    assert c.text == pytest.approx(2 * a_layer / 1e9)
