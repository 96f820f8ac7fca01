"""MGFENeck: which part reads what at the slot, and the counts of Tables 2 and 3."""

import pytest
import torch
from mmseg.registry import MODELS

from mgfe_ris.models.fusion import MGFE, DynamicWeight, LanguageGate, MGFENeck, PixelWordAttention
from mgfe_ris.structures import Text

CHANNELS = (4, 8, 12, 16)
D = 5

ATTENTION = dict(type='PixelWordAttention')
REFINE = dict(type='MGFE', pool_size=(8, 4, 2, 1))
WEIGH = dict(type='DynamicWeight')
GATE = dict(type='LanguageGate')


def neck(channels=CHANNELS, text_channels=D, **parts):
    cfg = dict(type='MGFENeck', channels=channels, text_channels=text_channels)
    return MODELS.build({**cfg, 'attention': ATTENTION, **parts}).eval()


def inputs(stage=2):
    words, mask = torch.randn(2, 3, D), torch.tensor([[True, True, True], [True, False, False]])
    return torch.randn(2, CHANNELS[stage], 5, 4), words, mask


@pytest.mark.parametrize('stage', range(4))
@pytest.mark.parametrize(
    ('parts', 'decoder_reads'),
    [
        (dict(refine=REFINE, weigh=WEIGH), 'V+F'),
        (dict(refine=REFINE, weigh=WEIGH), 'F'),
        (dict(refine=REFINE), 'V+F'),
        (dict(weigh=GATE), 'G'),
        (dict(weigh=GATE), 'V+F'),
        (dict(weigh=GATE), 'V'),
        (dict(), 'V+F'),
    ],
    ids=['full', 'full, F', 'no DW', 'LAVT', 'LAVT, V+F', 'LAVT, V', 'attention alone'],
)
def test_the_slot_gives_what_the_figure_shows(parts, decoder_reads, stage):
    module = neck(**parts, decoder_reads=decoder_reads)
    v, words, mask = inputs(stage)
    g = module.attention[stage](v, words, mask)
    refined = module.refine[stage](g) if 'refine' in parts else None
    if parts.get('weigh') == WEIGH:
        f = module.weigh[stage](g, refined)
    elif parts.get('weigh') == GATE:
        f = module.weigh[stage](g)
    else:
        f = g if refined is None else g + refined
    out, feedback = module.bind(Text(words, mask))(stage, v)
    assert torch.equal(feedback, f)
    assert torch.equal(out, {'V+F': v + f, 'F': f, 'G': g, 'V': v}[decoder_reads])


def test_each_stage_has_parts_of_its_own():
    module = neck(refine=REFINE, weigh=WEIGH)
    for parts, kind in (
        (module.attention, PixelWordAttention),
        (module.refine, MGFE),
        (module.weigh, DynamicWeight),
    ):
        assert [type(part) for part in parts] == [kind] * 4
    assert [part.qkv.in_channels for part in module.refine] == [*CHANNELS]
    assert len({id(p) for p in module.parameters()}) == len([*module.parameters()])
    assert {type(part) for part in neck(weigh=GATE).weigh} == {LanguageGate}


@pytest.mark.parametrize('many', [list, tuple])
def test_a_sequence_gives_one_value_per_stage_and_anything_else_the_same_to_all(many):
    refine = dict(type='MGFE', pool_size=many([8, 4, 2, 1]), num_heads=2)
    module = neck(refine=refine)
    assert [part.pool_size for part in module.refine] == [8, 4, 2, 1]
    assert [part.num_heads for part in module.refine] == [2] * 4


def test_a_list_of_another_length_is_refused_with_its_name():
    with pytest.raises(ValueError, match=r'MGFE.pool_size: expected 4 values, one per stage'):
        neck(refine=dict(type='MGFE', pool_size=(8, 4, 2)))


def test_an_unknown_reading_of_the_decoder_is_refused():
    with pytest.raises(ValueError, match=r"decoder_reads must be .* got 'X'"):
        neck(decoder_reads='X')


@pytest.mark.parametrize('reads', ['V+F', 'F', 'G'])
def test_without_feedback_nothing_goes_on_and_the_decoder_reads_the_same(reads):
    module = neck(refine=REFINE if reads != 'G' else None, decoder_reads=reads)
    v, words, mask = inputs()
    out, f = module(2, v, words, mask)
    assert f.any()
    module.feedback = False
    same, nothing = module(2, v, words, mask)
    assert torch.equal(same, out) and nothing.shape == v.shape and not nothing.any()


@pytest.mark.parametrize('parts', [dict(decoder_reads='V'), dict(decoder_reads='G', weigh=GATE)], ids=str)
def test_what_nothing_would_read_is_refused(parts):
    with pytest.raises(ValueError, match=r'without feedback, and with a decoder that reads [GV], nothing reads F'):
        neck(feedback=False, **parts)


def test_what_only_the_decoder_would_read_of_the_last_stage_is_frozen_where_it_reads_v():
    module = neck(weigh=GATE, decoder_reads='V')
    trained = {name.split('.')[1] for name, p in module.named_parameters() if p.requires_grad}
    frozen = {name.split('.')[1] for name, p in module.named_parameters() if not p.requires_grad}
    assert trained == {'0', '1', '2'} and frozen == {'3'}


def test_v_of_one_photo_is_read_once_for_each_sentence():
    module = neck(weigh=GATE, decoder_reads='V')
    v, words, mask = inputs()
    out, _ = module(2, v[:1], words, mask)
    assert torch.equal(out, v[:1].expand(2, -1, -1, -1))


@pytest.mark.parametrize('kind', ['DynamicWeight', 'FixedWeight', 'ConvAttention', 'SqueezeExcitation'])
def test_what_weighs_two_maps_is_refused_without_the_second(kind):
    with pytest.raises(ValueError, match=f"{kind} weighs G and G': name a refine part, or weigh with LanguageGate"):
        neck(weigh=dict(type=kind))
    assert neck(refine=REFINE, weigh=dict(type=kind))


def test_init_weights_opens_the_gates_of_every_stage():
    module = neck(refine=REFINE, weigh=WEIGH)
    module.init_weights()
    for part in module.weigh:
        assert part.phi[2].bias.eq(1).all() and part.gamma[2].bias.eq(1).all()


def millions(**parts):
    """At the widths of Swin-B; on no device, so without memory."""
    with torch.device('meta'):
        module = MGFENeck((128, 256, 512, 1024), 768, ATTENTION, **parts)
    return sum(p.numel() for p in module.parameters()) / 1e6


def test_mgfe_and_dw_add_the_parameters_that_the_paper_counts():
    lavt, mgfe, full = millions(weigh=GATE), millions(refine=REFINE), millions(refine=REFINE, weigh=WEIGH)
    # method 1: 227.7395, 236.2566 and 237.6531 M in all
    assert mgfe - lavt == pytest.approx(236.2566 - 227.7395, abs=1.1e-4)
    assert full - mgfe == pytest.approx(237.6531 - 236.2566, abs=1.1e-4)
