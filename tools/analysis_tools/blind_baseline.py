"""Test a baseline that does not listen, as tools/test.py tests a model: the same splits, and the same files.

largest: the annotated object with the most pixels of each photo, of all that instances.json has.
prior: the mean mask of the training's objects, stretched to each photo, and cut where it fits the training's best.

Example: python tools/analysis_tools/blind_baseline.py mgfe-ris_tiny_refshapes prior --out work_dirs/prior
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or the name of one of ours: its data sets are read, not its model')
    parser.add_argument('baseline', choices=['largest', 'prior'])
    parser.add_argument('--out', type=Path, required=True, help='folder for metrics.json and <split>.jsonl')
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes, e.g. data_root=data/x')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # what takes seconds is imported here: --help and wrong options need not wait for it
    from mgfe_ris.apis import load_config, measure_blind, report_errors
    from mgfe_ris.output_files import require_folder, whole_file

    with report_errors():
        require_folder('--out', args.out)
        metrics = measure_blind(load_config(args.config, args.cfg_options), args.baseline, args.out)
        report = dict(config=args.config, baseline=args.baseline, metrics=metrics)
        with whole_file(args.out / 'metrics.json') as part:
            part.write_text(json.dumps(report, indent=2) + '\n')
    print('\n'.join(f'{name}: {value:.2f}' for name, value in metrics.items()))
    print(f'wrote {args.out}/metrics.json and <split>.jsonl')


if __name__ == '__main__':
    main()
