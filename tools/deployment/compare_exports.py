"""A trained model beside what was exported of it: parameters, operations, bytes, milliseconds; with --score, metrics.

All are measured in turn on this machine's CPU, so that the ratios hold on a busy one, too: one photo, one sentence.

Example: python tools/deployment/compare_exports.py work_dirs/quickstart exported exported-int8 --score
"""

import argparse
import json
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='folder, checkpoint or config')
    parser.add_argument('exported', nargs='+', help='folders that export_onnx.py wrote of it')
    parser.add_argument('--checkpoint', help='weights, where the model is a config')
    parser.add_argument('--score', action='store_true', help="on every sentence of the config's validation data")
    parser.add_argument('--data', metavar='DIR', help="with --score: data_root; default: the config's")
    parser.add_argument('--threads', type=int, default=2, help='default %(default)s')
    parser.add_argument('--repeats', type=int, default=15, help='of which the median counts; default %(default)s')
    parser.add_argument('--out', type=Path, help='JSON file for the same numbers')
    args = parser.parse_args()
    if args.data and not args.score:
        parser.error('--data is for --score, which alone looks at data')
    for name in ('threads', 'repeats'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} must be 1 or more; got {getattr(args, name)}')
    return args


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    import torch

    from mgfe_ris.apis import compare_exports, load_trained, prepare_cpu, report_errors
    from mgfe_ris.apis.config import set_everywhere
    from mgfe_ris.output_files import whole_file
    from mgfe_ris.profiling import describe_machine
    from mgfe_ris.visualization.markdown import markdown_table

    prepare_cpu()
    torch.set_num_threads(args.threads)
    with report_errors():
        model = load_trained(args.model, args.checkpoint, 'cpu')
        if args.data:
            set_everywhere(model.cfg._cfg_dict, 'data_root', args.data)
        costs, rows = compare_exports(model, args.exported, args.repeats, args.score)
        machine = describe_machine(torch.device('cpu'))
        print(f'{args.model}: {costs["parameters"]:.1f} M parameters, {costs["macs"]:.2f} G multiply-accumulates')
        print(f'{machine["device"]}, {machine["threads"]} threads, torch {machine["torch"]}\n')
        scores = [name for name in rows['PyTorch'] if name.endswith('IoU')]
        table = (
            [name, f'{row["bytes"] / 1e6:.1f}', f'{row["ms"]:.1f}', *(f'{row[score]:.2f}' for score in scores)]
            for name, row in rows.items()
        )
        print(markdown_table(['', 'MB', 'ms', *scores], table))
        if args.out:
            with whole_file(args.out) as part:
                part.write_text(json.dumps(dict(**costs, machine=machine, models=rows), indent=2) + '\n')
            print(f'\nwrote {args.out}')


if __name__ == '__main__':
    main()
