"""How fast a config trains or segments, what memory that takes, and where the time goes; beside another, if asked.

Photos, sentences and weights are random. Speeds are those of a machine and its load at the time; --vs runs both configs
in turn, so that the ratio holds on a busy machine, too.

Example: python tools/analysis_tools/benchmark.py mgfe-ris_swin-base_refcoco --mode train --device cuda --amp bf16
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config

    from mgfe_ris.profiling import Setting, Workload


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or the name of one of ours')
    other = parser.add_mutually_exclusive_group()
    other.add_argument('--vs', metavar='CONFIG', help='compare with this one, pair by pair')
    other.add_argument(
        '--vs-one-by-one', action='store_true', help='compare with the same config, one sentence at a time'
    )
    parser.add_argument('--mode', choices=['train', 'test'], default='test')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--amp', choices=['bf16', 'fp16'], help='autocast; default: float32')
    parser.add_argument('--compile', action='store_true', help='torch.compile; the time of the parts is without it')
    parser.add_argument('--batch', type=int, default=1, help='photos')
    parser.add_argument('--sentences', type=int, default=1, help='about each photo, with --mode test')
    parser.add_argument(
        '--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'), help="default: that of config's tests, for both"
    )
    parser.add_argument(
        '--words', type=int, help="tokens of a sentence; default: as many as the config's tokenizer pads to"
    )
    parser.add_argument('--no-text', dest='text', action='store_false', help='without the text encoder')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--data', action='store_true', help="how long a loop waits for the config's own data, too")
    parser.add_argument('--out', type=Path, help='PNG of the parts; or a folder, for speed.png and speed.json')
    parser.add_argument(
        '--cfg-options', nargs='+', action='extend', help='changes of both configs, e.g. data_root=data/x'
    )
    return parser.parse_args()


def build(cfg: Config, data: bool, setting: Setting) -> Workload:
    from mgfe_ris.apis import build_model
    from mgfe_ris.engine import RISRunner
    from mgfe_ris.profiling import Workload

    model = build_model(cfg)
    # training's own, which pins: what a step waits for depends on it
    loader = RISRunner.build_dataloader(cfg[f'{setting.mode}_dataloader'], seed=0) if data else None
    return Workload(model, setting, loader)


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    import torch
    from mmengine.logging import MMLogger

    from mgfe_ris.apis import input_size, load_config, prepare_cpu, report_errors
    from mgfe_ris.profiling import Setting, measure_speed
    from mgfe_ris.tf32 import set_tf32
    from mgfe_ris.visualization import plot_speed, speed_table

    MMLogger.get_instance('benchmark', log_level='ERROR')  # mmengine tells the rate of every weight
    prepare_cpu()  # as in training; and photos of one size let cudnn choose
    torch.backends.cudnn.benchmark = True
    with report_errors():
        configs = filter(None, (args.config, args.vs))
        cfgs = [load_config(config, args.cfg_options, from_scratch=True) for config in configs]
        set_tf32(**cfgs[0].env_cfg.get('tf32', {}))
        names = ('mode', 'batch', 'sentences', 'words', 'device', 'amp', 'compile', 'text')
        setting = Setting(**{name: getattr(args, name) for name in names}, size=tuple(args.size or input_size(cfgs[0])))
        if args.vs_one_by_one and args.sentences < 2:
            raise ValueError(
                '--vs-one-by-one compares several sentences about a photo with each alone: give --sentences'
            )
        if args.repeats < 1:
            raise ValueError(f'--repeats must be 1 or more; got {args.repeats}')
        workloads = [build(cfg, args.data, setting) for cfg in cfgs]
        if args.vs_one_by_one:
            workloads.append(build(cfgs[0], args.data, replace(setting, one_by_one=True)))
        png = args.out if args.out is None or args.out.suffix == '.png' else args.out / 'speed.png'
        if png is not None:
            png.parent.mkdir(parents=True, exist_ok=True)
    report = measure_speed(workloads, args.repeats)
    print(speed_table(report))
    if png is not None:
        plot_speed(report, png)
        if png != args.out:
            png.with_suffix('.json').write_text(json.dumps(report, indent=1))
        print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
