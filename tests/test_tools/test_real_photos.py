"""RefCOCO's files and real photos through training and test, with nothing changed but where they lie."""

from mmengine.runner import Runner

from mgfe_ris.apis import load_config


def test_two_epochs_and_all_splits(coco_ref, small_model, tmp_path, one_thread):
    loaders = {f'{name}_dataloader.{key}': value for name in ('train', 'val', 'test')
               for key, value in (('num_workers', 0), ('persistent_workers', False))}  # fmt: skip
    short = {'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 2, 'work_dir': str(tmp_path)}
    cfg = load_config('mgfe-ris_tiny_refcoco', {**small_model, **loaders, **short}, data_root=str(coco_ref))
    cfg.experiment_name = 'real_photos'
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.test()
    assert [key for key in metrics if key.endswith('/oIoU')] == [
        f'{split}/oIoU' for split in ('train', 'val', 'testA', 'testB', 'val-shuffled')
    ]
    assert all(0 <= value <= 100 for value in metrics.values())
    assert len(list(tmp_path.glob('best_oIoU_*.pth'))) == 1
