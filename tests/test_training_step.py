"""What a training step must not do, wait for a GPU or leave weights out, and the options of training."""

import copy

import pytest
import torch
from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.runner import Runner
from slow import slow
from torch.utils._python_dispatch import TorchDispatchMode

from mgfe_ris.apis import load_config, use_mixed_precision
from mgfe_ris.engine.hooks import DeferredInfoHook

CONFIGS = {
    'paper': 'mgfe-ris_swin-base_refcoco',
    'lavt': 'lavt_swin-base_refcoco',
}
TINY = 'mgfe-ris_tiny_refshapes'
WAITS = {
    torch.ops.aten._local_scalar_dense.default,  # item(), bool(), tolist() of one number
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
    torch.ops.aten.equal.default,
    torch.ops.aten._unique2.default,
    torch.ops.aten.repeat_interleave.Tensor,
    torch.ops.aten.allclose.default,
}
INDEXES = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default}


class Waits(TorchDispatchMode):
    """Counts operations whose result must be known to Python: on a GPU, each waits until all before it is done."""

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        by_mask = function in INDEXES and any(i is not None and i.dtype == torch.bool for i in args[1])
        if function in WAITS or by_mask:
            self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    'waiting',
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x[x > 0],
        lambda x: x.clone().__setitem__(x > 0, x[:3]),
        lambda x: x.unique(),
        lambda x: x.repeat_interleave((x > 0).long()),
        lambda x: torch.equal(x, x + 1),
        lambda x: torch.allclose(x, x + 1),
        lambda x: x.nonzero(),
    ],
)
def test_what_waits_is_seen(waiting):
    with Waits() as waits:
        waiting(torch.arange(4.0))
    assert waits.seen


@pytest.fixture
def runner(refshapes, small_swin, small_model, tmp_path, request, one_thread):
    def build(config: str = 'paper', amp: bool = False, **options) -> Runner:
        loader = dict(num_workers=0, persistent_workers=False, batch_size=2)
        data = dict(data_root=str(refshapes), ann_folder='refshapes', indices=26)
        cfg = load_config(
            CONFIGS.get(config, TINY),
            {
                **(small_swin if config in CONFIGS else small_model),
                'train_dataloader': loader,
                'val_dataloader': loader,
                'train_dataloader.dataset': data,
                'val_dataloader.dataset': data,
                'work_dir': str(tmp_path),
                'experiment_name': request.node.name,
                'train_cfg.max_epochs': 1,
                'log_level': 'ERROR',
                'visualizer.vis_backends': [dict(type='LocalVisBackend')],
                **options,
            },
            from_scratch=True,
        )
        for name in ('train', 'val'):
            for step in cfg[f'{name}_dataloader'].dataset.pipeline:
                for part in step.get('transforms', [step]):
                    if part.type == 'Resize':
                        part.scale = (64, 64)
        if amp:
            use_mixed_precision(cfg)
        return Runner.from_cfg(cfg)

    return build


@pytest.mark.parametrize(
    ('amp', 'config'),
    [(False, 'paper'), (True, 'paper'), (False, 'lavt'), pytest.param(True, 'lavt', marks=slow('10 s'))],
)
def test_no_step_waits_for_the_gpu(runner, config, amp):
    clip = dict(max_norm=1.0)
    runner = runner(config, amp, **{'default_hooks.logger.interval': 1000, 'optim_wrapper.clip_grad': clip})
    loop = runner.train_loop
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    for moment in ('before_run', 'before_train', 'before_train_epoch'):
        runner.call_hook(moment)
    runner.model.train()
    for i, batch in zip(range(4), loop.dataloader, strict=False):
        runner.call_hook('before_train_iter', batch_idx=i, data_batch=batch)
        inputs = runner.model.data_preprocessor(batch, True)
        with Waits() as waits, runner.optim_wrapper.optim_context(runner.model):
            losses = runner.model(**inputs, mode='loss')
            total, log = runner.model.parse_losses(losses)
        with waits:
            runner.optim_wrapper.update_params(total)
            runner.call_hook('after_train_iter', batch_idx=i, data_batch=batch, outputs=log)
        assert i == 0 or not waits.seen, 'what follows from the photos size alone is made in the first step'


def test_losses_are_recorded_as_mmengine_records_them(runner):
    runner = runner('tiny', **{'default_hooks.logger.interval': 7})
    hooks = runner.hooks
    assert [type(hook) for hook in hooks if isinstance(hook, RuntimeInfoHook)] == [DeferredInfoHook]
    seen, norms = [], []

    class Watch(Hook):
        priority = 'HIGHEST'  # ahead of the hook that keeps norms

        def before_train(self, runner):
            clip = runner.optim_wrapper.clip_func
            runner.optim_wrapper.clip_func = lambda *args, **kwargs: norms.append(clip(*args, **kwargs)) or norms[-1]

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            seen.append({name: float(value) for name, value in outputs.items()})

    runner.register_hook(Watch())
    runner.train_loop.val_loop = None
    runner.train()
    assert len(seen) > 10 and len(seen) % 7, 'the end of an epoch is no interval'
    for name in ('loss', 'loss_dice', 'loss_focal'):
        history, _ = runner.message_hub.get_scalar(f'train/{name}').data
        assert history.tolist() == pytest.approx([row[name] for row in seen], rel=1e-6)
    history, _ = runner.message_hub.get_scalar('train/grad_norm').data
    assert history.tolist() == [float(norm) for norm in norms] and len(norms) == len(seen)


@pytest.mark.parametrize('config', CONFIGS)
def test_gradients_are_released_and_every_trained_weight_has_one(runner, config):
    runner = runner(config)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    assert wrapper.optimizer.defaults['fused'] is True
    runner.model.train()
    data = runner.model.data_preprocessor(next(iter(runner.train_dataloader)), True)
    loss, _ = runner.model.parse_losses(runner.model(**data, mode='loss'))
    wrapper.backward(loss)
    without = [name for name, p in runner.model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without, 'find_unused_parameters would be needed'
    wrapper.step()
    wrapper.zero_grad()
    assert all(p.grad is None for p in runner.model.parameters())


def test_a_moving_average_is_validated_and_saved_by_one_field(runner, tmp_path):
    runner = runner('tiny', **{'custom_hooks': [dict(type='EMAHook', momentum=0.5)]})
    validated = []
    runner.val_loop.run_iter = lambda i, batch: validated or validated.append(copy.deepcopy(runner.model.state_dict()))
    runner.val_loop.evaluator.evaluate = lambda n: dict(oIoU=1.0)
    runner.train()
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    average, last = saved['state_dict'], saved['ema_state_dict']
    name = 'decode_head.classify.weight'
    assert torch.equal(average[name], validated[0][name])
    assert not torch.equal(average[name], last[f'module.{name}'] if f'module.{name}' in last else last[name])


def test_checkpointing_the_encoder_by_one_field_changes_no_gradient(runner):
    gradients, state = [], None
    for with_cp in (False, True):
        built = runner(**{'model.encoder.with_cp': with_cp, 'model.encoder.drop_path_rate': 0.0})
        torch.manual_seed(0)
        model = built.model.train()
        state = state or copy.deepcopy(model.state_dict())
        model.load_state_dict(state)
        data = model.data_preprocessor(dict(inputs=PHOTOS, data_samples=samples()), True)
        loss, _ = model.parse_losses(model(**data, mode='loss'))
        loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, rtol=1e-4, atol=1e-6, msg=name)


PHOTOS = [torch.randint(256, (3, 64, 64), dtype=torch.uint8, generator=torch.manual_seed(1)) for _ in range(2)]


def samples() -> list:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    truth = PixelData(data=(torch.arange(64 * 64).view(1, 64, 64) % 7 == 0).long())
    return [SegDataSample(metainfo=dict(sentence=s), gt_sem_seg=truth) for s in ('left ring', 'red star')]
