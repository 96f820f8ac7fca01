"""A LAVT model of ours -> a file that the official code loads.

Example: python tools/model_converters/mgfe2lavt.py work_dirs/lavt_swin-base_refcoco lavt.pth
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path, help='weights, or a folder with weights')
    parser.add_argument('out', type=Path, help='new file, .pth')
    parser.add_argument('--single-model', action='store_true', help='BERT inside of the model, not beside it')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import report_errors, weights_in
    from mgfe_ris.checkpoint_files import convert_checkpoint, require_new_pth, write_checkpoint
    from mgfe_ris.models.checkpoints import to_lavt
    from mgfe_ris.models.renaming import state_dict_of

    with report_errors():
        require_new_pth(args.out)
        state = convert_checkpoint(weights_in(args.checkpoint), lambda c: to_lavt(state_dict_of(c), args.single_model))
        print(f'wrote {write_checkpoint(state, args.out)}')


if __name__ == '__main__':
    main()
