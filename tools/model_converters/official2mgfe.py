"""A checkpoint of a rival's official code -> a folder that test.py, infer.py and load_model open.

Example: PYTHONPATH=projects/cris python tools/model_converters/official2mgfe.py best_model.pth \\
    --config projects/cris/cris_rn50_refcoco.py --out cris
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='official file')
    parser.add_argument('--config', required=True, help='of the same architecture')
    parser.add_argument('--out', required=True, help='new folder')
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes of the config')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import build_model, load_config, report_errors, require_empty, save_converted
    from mgfe_ris.checkpoint_files import convert_checkpoint

    with report_errors():
        require_empty(args.out)
        model = build_model(load_config(args.config, args.cfg_options))
        if model.from_official is None:
            raise ValueError(f'{args.config}: no official files of a {type(model).__name__} are known here')
        state = convert_checkpoint(args.checkpoint, model.from_official)
        print(f'wrote {save_converted(model, state, args.checkpoint, args.out)}')


if __name__ == '__main__':
    main()
