"""A trained model of ours -> a file that the code of its authors loads.

Example: PYTHONPATH=projects/cris python tools/model_converters/mgfe2official.py work_dirs/cris_rn50_refcoco cris.pth
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path, help='weights, or a folder with weights and config')
    parser.add_argument('out', type=Path, help='new file, .pth')
    parser.add_argument('--config', help='default: the one beside the weights')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import load_model, report_errors, weights_in
    from mgfe_ris.checkpoint_files import require_new_pth, write_checkpoint

    with report_errors():
        require_new_pth(args.out)
        checkpoint = Path(weights_in(args.checkpoint))
        model = load_model(args.config or checkpoint.parent, checkpoint, 'cpu')
        if model.to_official is None:
            raise ValueError(
                f'{checkpoint}: no code of other authors is known here that loads a {type(model).__name__}; for a LAVT '
                'there is mgfe2lavt.py'
            )
        print(f'wrote {write_checkpoint(model.to_official(model.state_dict()), args.out)}')


if __name__ == '__main__':
    main()
