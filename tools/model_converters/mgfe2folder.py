"""A trained model -> a folder with safetensors, config and tokenizer, to be opened, uploaded and downloaded as it is.

Example: python tools/model_converters/mgfe2folder.py work_dirs/quickstart --out my-model
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path, help='weights, or a folder with weights and config')
    parser.add_argument('--config', help='default: the one beside the weights')
    parser.add_argument('--out', required=True, help='new folder')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # behind the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import load_model, report_errors, require_empty, save_folder, weights_in

    with report_errors():
        require_empty(args.out)
        checkpoint = Path(weights_in(args.checkpoint))
        model = load_model(args.config or checkpoint.parent, checkpoint, 'cpu')
        print(f'wrote {save_folder(model, args.out)}')


if __name__ == '__main__':
    main()
