"""The card in a model's folder: every number and name in it is found again by other means."""

import copy
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from mmengine.config import Config
from PIL import Image

from mgfe_ris.apis import RISInferencer, build_model, load_config, load_model, save_folder
from mgfe_ris.apis.export.model_card import LAVT_PAPER, MGFE_PAPER, model_card
from mgfe_ris.models.shapes_only import shapes_only

pytestmark = pytest.mark.usefixtures('one_thread')
TINY = 'mgfe-ris_tiny_refshapes'
NAMES = ('oIoU', 'mIoU', 'P@0.5', 'P@0.9')
PROTOCOL = dict(
    sentence_key='raw', score_at='input', per_sentence=True, no_target=False, apart_from=[], shared_photos={}
)


@pytest.fixture(scope='module')
def report() -> dict:
    """Of the form that ``tools/test.py`` writes; tests/test_tools/test_mgfe2folder.py takes a real one."""
    values = np.random.default_rng(0).uniform(0, 100, (3, len(NAMES)))
    splits = ('val', 'testA', 'val-shuffled')
    return dict(
        config='configs/mgfe_ris/mgfe-ris_tiny_refshapes.py',
        checkpoint='work_dirs/quickstart/best_oIoU_epoch_3.pth',
        metrics={f'{split}/{name}': values[i, j] for i, split in enumerate(splits) for j, name in enumerate(NAMES)},
        protocol={split: PROTOCOL for split in splits},
        input_size=[64, 64],
        evaluator=[{'type': 'RefSegMetric'}],
        train_protocol={**PROTOCOL, 'per_sentence': False},
        truncated_sentences=7,
    )


@pytest.fixture(scope='module')
def tiny(small_model) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(load_config(TINY, small_model)).eval()


def sections(card: str) -> dict[str, str]:
    """Headline -> what stands below it."""
    parts = re.split(r'(?m)^##? (.+)\n\n', ModelCard(card).text)
    return {'': parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def tables(text: str) -> list[list[list[str]]]:
    """Cells of each table; escaped bars are none between cells."""
    found = re.findall(r'(?m)(?:^\|.*\|$\n?)+', text)
    return [[[c.strip() for c in re.split(r'(?<!\\)\|', line)[1:-1]] for line in t.strip().split('\n')] for t in found]


def facts(text: str) -> dict[str, str]:
    """Of a table with a name and a value in a row."""
    (table,) = tables(text)
    assert {len(row) for row in table} == {2}
    return dict(table[2:])


def with_cfg(model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch, **changes) -> torch.nn.Module:
    cfg = model.cfg.copy()
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
    monkeypatch.setattr(model, 'cfg', cfg)
    return model


# What a test found


def test_every_result_stands_in_the_table(tiny, report):
    (table,) = tables(sections(model_card(tiny, report))['Results'])
    assert table[0] == ['split', *NAMES]
    cells = {f'{row[0]}/{name}': cell for row in table[2:] for name, cell in zip(NAMES, row[1:], strict=True)}
    assert cells == {key: f'{value:.2f}' for key, value in report['metrics'].items()}


def test_the_hub_reads_the_results(tiny, report):
    """Those without the control."""
    data = ModelCard(model_card(tiny, report)).data
    assert data.model_name == TINY
    found = {(result.dataset_split, result.metric_type): result for result in data.eval_results}
    expected = {tuple(key.split('/')): value for key, value in report['metrics'].items() if 'shuffled' not in key}
    assert len(data.eval_results) == len(found) == len(expected) == 8
    for key, value in expected.items():
        assert isinstance(found[key].metric_value, float) and abs(found[key].metric_value - value) <= 0.005 + 1e-9
        assert (found[key].task_type, found[key].dataset_name) == ('image-segmentation', 'RefShapes')
        assert re.fullmatch(r'(?:[\w-]+/)?[\w.-]+', found[key].dataset_type), 'the pattern that the hub checks'


def test_the_head_of_the_file(tiny, report):
    data = ModelCard(model_card(tiny, report)).data
    assert (data.library_name, data.pipeline_tag, data.language) == ('mgfe_ris', 'image-segmentation', 'en')
    assert data.license is None, 'that of the weights is for their author to choose'
    data = ModelCard(model_card(tiny, {})).data
    assert data.eval_results is None and data.model_name is None and 'model-index' not in data.to_dict()


def test_a_model_that_nobody_tested(tiny):
    text = sections(model_card(tiny, {}))
    assert text['Results'] == 'None are recorded here.\n\n'
    assert 'tested' not in text['Limits'] and 'chosen' not in text['Limits']


def test_how_it_was_measured(tiny, report):
    said = sections(model_card(tiny, report))['Results']
    assert 'on RefShapes, of the checkpoint `best_oIoU_epoch_3.pth`' in said
    (line,) = re.findall(r'(?m)^- all splits: (.*)$', said)
    assert line == (
        'sentences as they were written (`raw`); each sentence a sample; '
        'masks compared at the size of the input, 64 x 64 pixels'
    )
    assert '`-shuffled` is a control' in said and 'metrics by `RefSegMetric`' in said
    assert 'P@X: share' in said and 'mIoU: mean' in said and 'gIoU' not in said


def test_another_protocol(tiny, report):
    """Splits of which not the same is true."""
    other = dict(sentence_key='sent', score_at='photo', per_sentence=False, no_target=True, apart_from=['train'])
    other['shared_photos'] = {'testB': 12}
    report = {**report, 'protocol': {**report['protocol'], 'testA': other}, 'input_size': [480, 640]}
    report['evaluator'] = [{'type': 'GeneralizedRefSegMetric', 'min_pixels': 50}]
    said = sections(model_card(tiny, report))['Results']
    first, second = re.findall(r'(?m)^- (?:val|testA).*: .*$', said)
    assert first.startswith('- val, val-shuffled: ') and first.endswith('input, 480 x 640 pixels (height x width)')
    assert second == (
        "- testA: cleaned sentences (`sent`); one random sentence of each object; masks compared at the photo's own "
        'size; sentences that mean nothing in the photo included; without the photos of train; 12 of its photos are '
        'also in testB'
    )
    assert '- metrics by `GeneralizedRefSegMetric` (min_pixels 50)' in said


def test_metrics_with_a_prefix_and_those_of_mmseg(tiny, report):
    """A prefix is no split, and mmseg's mIoU another one than ours."""
    report = {**report, 'metrics': {'val/ris/oIoU': 50.0, 'val/mIoU': 60.0, 'testA/ris/oIoU': 40.0, 'testA/mIoU': 70.0}}
    report['evaluator'] = [{'type': 'RefSegMetric', 'prefix': 'ris'}, {'type': 'IoUMetric'}]
    said = sections(model_card(tiny, report))['Results']
    (table,) = tables(said)
    assert table[0] == ['split', 'ris/oIoU', 'mIoU']
    assert table[2:] == [['val', '50.00', '60.00'], ['testA', '40.00', '70.00']]
    assert 'oIoU: sum of all' in said and 'mean IoU of the samples' not in said
    report['metrics'] = {'oIoU': 1.0, 'mmseg/mIoU': 2.0}
    report['protocol'] = dict(test=PROTOCOL)
    assert tables(sections(model_card(tiny, report))['Results'])[0][2] == ['test', '1.00', '2.00']


def test_test_time_augmentation_is_told(tiny, report):
    for tta in (None, 'flip'):
        said = sections(model_card(tiny, {**report, 'tta': tta}))['Results']
        assert ('test-time augmentation: mean with the mirror image' in said) == (tta == 'flip')


def test_several_data_sets(small_model, report):
    """Trained on a mix, tested on two; each part is told, with its own protocol."""
    model = build_model(load_config('mgfe-ris_tiny_refshapes_mixed', small_model)).eval()
    parts = [dict(ann_folder=name, split_by='unc', split='val', **PROTOCOL) for name in ('refcoco', 'refcoco+')]
    parts[1]['no_target'] = True
    metrics = {'val/oIoU': 60.0, 'val-reviewed/oIoU': 70.0}
    data = dict(parts=[dict(ann_folder=part['ann_folder'], split_by='unc') for part in parts])
    text = sections(
        model_card(model, {**report, 'metrics': metrics, 'data': data, 'protocol': {'val': dict(parts=parts)}})
    )
    assert 'on RefCOCO (unc), RefCOCO+ (unc)' in text['Results']
    first, second = re.findall(r'RefCOCO\+? \(unc\), split `val`: ([^;\n]*)', text['Results'])
    assert 'sentences that mean nothing' in second and 'sentences that mean nothing' not in first
    assert '`-reviewed`: without the sentences that a review found wrong' in text['Results']
    (table, *_) = tables(text['Training'])
    trained = dict(row[:2] for row in table[2:])['Data']
    assert trained.count('split `train`') == 3 and 'drawn shapes only' in text['Limits']


def test_other_metrics(tiny):
    """Whatever a metric is called, and where a split lacks one."""
    metrics = {'val/gIoU': 50.0, 'val/Pr@0.7': 25.123, 'testA/gIoU': 0, 'gIoU': 100}
    card = model_card(tiny, dict(metrics=metrics))
    (table,) = tables(sections(card)['Results'])
    rows = [['val', '50.00', '25.12'], ['testA', '0.00', ''], ['test', '100.00', '']]
    assert table[0] == ['split', 'gIoU', 'Pr@0.7'] and table[2:] == rows
    assert len(ModelCard(card).data.eval_results) == 4 and 'How it was measured' not in card
    assert 'Pr@X: share' in card and 'oIoU' not in card.replace('best_oIoU', '')


def test_what_was_tested(tiny, report):
    """The report's word counts, where it has one: a model may be tested on data that its config does not name."""
    data = dict(type='ReferringDataset', ann_folder='refcoco+', split_by='unc', data_root='/home/me/coco')
    card = model_card(tiny, {**report, 'data': data})
    assert 'In percent, on RefCOCO+ (unc)' in card and '/home/me' not in card
    (kind,) = {(result.dataset_name, result.dataset_type) for result in ModelCard(card).data.eval_results}
    assert kind == ('RefCOCO+ (unc)', 'refcoco-plus')
    card = model_card(tiny, {**report, 'data': dict(ann_file='*.jsonl', data_root='/home/me/Katzen & Käse')})
    (kind,) = {(result.dataset_name, result.dataset_type) for result in ModelCard(card).data.eval_results}
    assert kind == ('Katzen & Käse', 'Katzen___K_se') and '/home/me' not in card


# What the model is


def test_parameters_and_sizes(tiny):
    model = facts(sections(model_card(tiny, {}))['Model'])
    counted = sum(int(np.prod(value.shape)) for name, value in dict(tiny.named_parameters()).items())
    assert int(model['Parameters'].replace(',', '')) == counted > 10_000
    assert model['Photos'] == 'resized to 64 x 64 pixels'
    words = (Path(sys.modules['mgfe_ris'].__file__).parent / 'models/encoders/vocabulary.txt').read_text().split()
    assert model['Sentences'].startswith('20 tokens at most') and f'with {len(words)} entries' in model['Sentences']
    assert model['Text encoder'] == '`bert`, 1 layers of width 32'


SWIN_B, SWIN_S, RESNET, CONVNEXT, DINO = (
    'swin_base_patch4_window12_384_20220317-55b0104a.pth',
    'swin_small_patch4_window7_224_20220317-7ba6d6dd.pth',
    'resnet50-11ad3fa6.pth',
    'convnext-base_3rdparty_in21k_20220301-262fd037.pth',
    'dino_vitbase16_pretrain.pth',
)
BERT = '`bert`, 12 layers of width 768'
FAMILIES = {
    TINY: ['`ResNetEncoder` (depth 18; base_channels 16)', '`bert`, 2 layers of width 128', '`DynamicWeight`', []],
    'lavt_tiny_refshapes': ['`ResNetEncoder` (depth 18', '2 layers of width 128', '`LanguageGate`', []],
    'lavt_swin-base_refcoco': ['`SwinEncoder` (depths 2, 2, 18, 2', BERT, '`LanguageGate`', [SWIN_B]],
    'mgfe-ris_swin-base_gref-google': ['embed_dims 128; window_size 12', BERT, '`DynamicWeight`', [SWIN_B]],
    'mgfe-ris_swin-small_refcoco': ['embed_dims 96; window_size 7', BERT, '`DynamicWeight`', [SWIN_S]],
    'mgfe-ris_resnet-50_refcoco': ['`ResNetEncoder` (depth 50)', BERT, '`DynamicWeight`', [RESNET]],
    'mgfe-ris_convnext-base_refcoco': ['`ConvNeXtEncoder` (arch base)', BERT, '`DynamicWeight`', [CONVNEXT]],
    'mgfe-ris_vit-base-dino_refcoco': ['`ViTEncoder` (arch base; patch_size 16)', BERT, '`DynamicWeight`', [DINO]],
    'mgfe-ris_clip-vit-b16_refcoco': [
        '`CLIPViTEncoder` (depth 12; width 768; patch_size 16)',
        '`CLIPTextTower`',
        '`DynamicWeight`',
        ['ViT-B-16.pt'],
    ],
    'mgfe-ris_swin-base_clip_refcoco': [
        *('`SwinEncoder`', '`clip_text_model`, 12 layers of width 512', '`DynamicWeight`'),
        [SWIN_B, 'openai/clip-vit-base-patch32'],
    ],
    'mgfe-ris_swin-base_roberta_refcoco': [
        *('`SwinEncoder`', '`roberta`, 12 layers of width 768', '`DynamicWeight`'),
        [SWIN_B, 'FacebookAI/roberta-base'],
    ],
    'table3_2_mgfe': ['`SwinEncoder`', BERT, 'nothing', [SWIN_B]],
    'mgfe-ris_swin-base_own-data': ['`SwinEncoder`', BERT, '`DynamicWeight`', [SWIN_B]],
}


def shape_of(name: str) -> torch.nn.Module:
    """The whole model without the memory of its weights, and with the config as it is trained."""
    with shapes_only():
        model = build_model(load_config(name, from_scratch=True))
    model.cfg = load_config(name)
    return model


@pytest.mark.parametrize('name', FAMILIES)
def test_every_family(name):
    encoder, text, weigh, weights = FAMILIES[name]
    model = shape_of(name)
    card = model_card(model, {})
    assert ModelCard(card).data.library_name == 'mgfe_ris'
    said = sections(card)
    found, training = facts(said['Model']), facts(said['Training'])
    assert name in said and encoder in found['Visual encoder']
    assert text in found['Text encoder'] and found['Weighed by'] == weigh
    assert int(found['Parameters'].replace(',', '')) == sum(p.numel() for p in model.parameters())
    assert all(f'`{name}`' in training['Starts from'] for name in weights)
    assert (training['Starts from'] == 'random weights') == (not weights)
    lavt = name.startswith('lavt')
    assert found['Refined by'].startswith('nothing' if lavt else '`MGFE` (pool_size ')
    assert found['The decoder reads'] == ('G' if lavt else 'V+F')
    assert LAVT_PAPER in said['Papers'] and (MGFE_PAPER in said['Papers']) != lavt
    assert 'http' not in card and '/root' not in card and 'None' not in card.replace('None are', '')


def test_a_model_of_another_shape(tiny, monkeypatch):
    """Says nothing of the parts that it does not have, or that are numbers alone."""
    cfg = copy.deepcopy(tiny.cfg)
    for part in ('encoder', 'neck', 'decode_head', 'loss'):
        cfg.model.pop(part)
    cfg.model.encoder = dict(layers=3)
    monkeypatch.setattr(tiny, 'cfg', cfg)
    found = sections(model_card(tiny, {}))
    assert [*facts(found['Model'])] == ['Text encoder', 'Parameters', 'Photos', 'Sentences']
    assert 'Loss' not in facts(found['Training'])


def test_training():
    """Against what section 4.2 of the paper says."""
    training = facts(sections(model_card(shape_of('mgfe-ris_swin-base_refcoco'), {}))['Training'])
    assert training == {
        'Starts from': f'`bert-base-uncased` (text encoder), `{SWIN_B}` (visual encoder)',
        'Frozen': 'the text encoder but for its first 10 layers',
        'Data': 'RefCOCO (unc), split `train`',
        'Length': '40 epochs',
        'Batch': '8 a process',
        'Loss': '`CombineLoss` (dice_weight 1; focal_weight 3)',
        'Optimizer': '`AdamW` (lr 5e-05; weight_decay 0.01)',
        'Learning rate': '`PolynomialLR`',
    }


def test_what_is_frozen():
    training = facts(sections(model_card(shape_of('mgfe-ris_efficientnet-lite0_minilm_photos'), {}))['Training'])
    expected = 'the text encoder, stem and first 1 of four stages of the visual encoder, its batch statistics'
    assert training['Frozen'] == expected


def test_another_training(tiny, monkeypatch, tmp_path):
    weights = tmp_path / 'bert weights'
    changes = dict(
        train_cfg__max_epochs=12, train_dataloader__batch_size=5, optim_wrapper__type='AmpOptimWrapper',
        optim_wrapper__optimizer__lr=3e-4, load_from='/home/me/first.pth', train_dataloader__dataset__split='big',
        train_dataloader__dataset__apart_from=['val'], model__text_encoder__pretrained=str(weights),
    )  # fmt: skip
    card = model_card(with_cfg(tiny, monkeypatch, **changes), {})
    training = facts(sections(card)['Training'])
    assert training['Starts from'] == '`bert weights` (text encoder), `first.pth` (whole model)'
    assert training['Data'] == 'RefShapes, split `big` without the photos of val'
    assert (training['Length'], training['Batch']) == ('12 epochs', '5 a process')
    assert training['Optimizer'] == '`AdamW` (lr 0.0003; weight_decay 0.01)'
    assert (training['Precision'], training['Gradients clipped at']) == ('mixed', 'a norm of 1')
    assert 'Trained for this task on' not in card, 'nobody knows what the other checkpoint was trained on'
    assert '/home/me' not in card and str(tmp_path) not in card


@pytest.mark.parametrize('place', ['/data/bert', './bert', '~/bert', 'here/bert', 'https://x.org/bert', 'me/bert'])
def test_no_place_of_this_machine_is_told(tiny, monkeypatch, tmp_path, place):
    (tmp_path / 'here/bert').mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    card = model_card(with_cfg(tiny, monkeypatch, model__text_encoder__pretrained=place), {})
    assert facts(sections(card)['Training'])['Starts from'].split(' ')[0] == (
        '`me/bert`' if place == 'me/bert' else '`bert`'
    )


def test_a_config_for_inference_only(tiny, monkeypatch):
    cfg = tiny.cfg.to_dict()
    kept = {key: cfg[key] for key in ('model', 'test_dataloader')}
    monkeypatch.setattr(tiny, 'cfg', Config(kept, filename=tiny.cfg.filename))
    card = model_card(tiny, {})
    assert '## Training' not in card and 'Trained' not in card and ModelCard(card).data.language is None


# What follows for its use


def test_limits(tiny, report, monkeypatch):
    limits = sections(model_card(tiny, report))['Limits']
    assert 'on drawn shapes only' in limits and 'English' in limits and 'chosen by its oIoU on val,' in limits
    assert 'cut after its first 20 tokens; of those tested, 7 were.' in limits
    assert 'sentences that mean one object' in limits
    changes = dict(train_dataloader__dataset__ann_folder='mine', train_dataloader__dataset__no_target=True)
    changes |= dict(val_dataloader__dataset__split='elsewhere')
    limits = sections(model_card(with_cfg(tiny, monkeypatch, **changes), report))['Limits']
    assert not re.search('drawn|English|mean one object|chosen', limits)


def test_a_photo_set_is_not_drawn(monkeypatch):
    card = model_card(shape_of('mgfe-ris_swin-base_refcoco'), {})
    assert 'drawn' not in card and 'the dog on the left' in card and 'English sentences only' in card


def test_names_that_mean_something_to_markdown_or_yaml(tiny, report, tmp_path, monkeypatch):
    metrics = {'a|b: [c]/oIoU': 12.344, "it's #1/oIoU": 1.0, '猫/oIoU': 2.0}
    path = tmp_path / 'größe: {a} #1.py'
    path.touch()
    monkeypatch.setattr(tiny, 'cfg', Config(tiny.cfg.to_dict(), filename=str(path)))
    card = model_card(tiny, {**report, 'metrics': metrics, 'protocol': {}})
    (table,) = tables(sections(card)['Results'])
    assert table[2:] == [['a\\|b: [c]', '12.34'], ["it's #1", '1.00'], ['猫', '2.00']]
    data = ModelCard(card).data
    assert data.model_name == 'größe: {a} #1'
    assert [result.dataset_split for result in data.eval_results] == ['a|b: [c]', "it's #1", '猫']


def test_the_snippet_runs(tiny, tmp_path, monkeypatch):
    """As a stranger would run it, with names of his own."""
    save_folder(tiny, tmp_path / 'folder')
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'photo.jpg')
    (code,) = re.findall(r'(?s)```python\n(.*?)```', (tmp_path / 'folder/README.md').read_text())
    asked = []
    monkeypatch.setattr('huggingface_hub.snapshot_download', lambda name: asked.append(name) or tmp_path / 'folder')
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert asked == ['USER/NAME']
    mask = names['result'].mask
    np.testing.assert_array_equal(mask, RISInferencer(tiny)(tmp_path / 'photo.jpg', 'the red circle').mask)
    assert mask.dtype == bool and mask.shape == (60, 90)
    written = {path.name for path in (tmp_path / 'masks').iterdir()}
    assert written == {'photo_the-red-circle_mask.png', 'photo_the-red-circle_overlay.png'}
    text = (tmp_path / 'folder/README.md').read_text()
    assert '`mgfe_ris.apis.load_model(folder)`' in text and load_model(tmp_path / 'folder').training is False


def test_a_graph_for_onnxruntime(tiny):
    card = model_card(tiny, {}, exported=True)
    assert 'load_model' not in card and '`model.onnx`' in card and 'onnx' in ModelCard(card).data.tags
    assert 'onnx' not in model_card(tiny, {})


# What the folder keeps of it


def test_a_copy_says_the_same(tiny, report, tmp_path, monkeypatch):
    """Though its config names no weights, and has another name."""
    model = with_cfg(tiny, monkeypatch, model__text_encoder__pretrained='me/bert', load_from='/home/me/a.pth')
    first = save_folder(model, tmp_path / 'first', report)
    again = save_folder(load_model(first, device='cpu'), tmp_path / 'again', report)
    text = (first / 'README.md').read_text()
    assert f'# {TINY}\n' in text and '`me/bert` (text encoder), `a.pth` (whole model)' in text
    assert (again / 'README.md').read_text() == text
    config = json.loads((first / 'config.json').read_text())
    assert config['origin'] == dict(name=TINY, weights=dict(text_encoder='me/bert', model='a.pth'))


def test_a_folder_without_a_record(tiny, tmp_path):
    """What was there before is not known, so nothing is said."""
    folder = save_folder(tiny, tmp_path / 'my-model')
    config = json.loads((folder / 'config.json').read_text())
    del config['origin']
    (folder / 'config.json').write_text(json.dumps(config))
    said = sections(model_card(load_model(folder, device='cpu'), {}))
    assert 'my-model' in said and 'Starts from' not in facts(said['Training'])


def test_it_is_markdown(tiny, report):
    """Another's reader finds the headlines, three tables and the code."""
    markdown_it = pytest.importorskip('markdown_it')
    html = markdown_it.MarkdownIt('gfm-like', {'linkify': False}).render(ModelCard(model_card(tiny, report)).text)
    found = re.findall(r'<h2>(.*?)</h2>', html)
    assert found == ['Use', 'Model', 'Training', 'Results', 'Limits', 'Papers', 'License']
    assert html.count('<table>') == 3 and html.count('<pre>') == 1


def test_the_license_of_the_code_is_ours(tiny):
    """As pyproject.toml says it."""
    text = (Path(__file__).parents[3] / 'pyproject.toml').read_text()
    (ours,) = re.findall(r'(?m)^license = "(.*)"$', text)
    assert f'is under {ours}.' in sections(model_card(tiny, {}))['License']
