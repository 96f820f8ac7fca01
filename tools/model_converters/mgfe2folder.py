"""A trained model -> a folder with safetensors, config, tokenizer and model card, to be uploaded and opened as it is.

Example: python tools/model_converters/mgfe2folder.py work_dirs/quickstart --out my-model
"""

import argparse
from pathlib import Path
from typing import Any


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path, help='weights, or a folder with weights and config')
    parser.add_argument('--config', help='default: the one beside the weights')
    parser.add_argument(
        '--metrics', help='results for the card, metrics.json of tools/test.py; default: beside the weights'
    )
    parser.add_argument('--out', required=True, help='new folder')
    return parser.parse_args()


def find_metrics(model: Any, checkpoint: Path, named: str | None) -> dict:
    """Results of this model: from the file named, or from the one beside its checkpoint, if that is of it."""
    from mgfe_ris.apis.export.report import read_report_of

    path = Path(named or checkpoint.parent / 'metrics.json')
    if named is None and not path.is_file():
        return {}
    try:
        return read_report_of(model, path)
    except ValueError as error:
        if named is not None:
            raise
        print(f'no results in the card: {error}')
        return {}


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import load_model, report_errors, require_empty, save_folder, weights_in

    with report_errors():
        require_empty(args.out)
        checkpoint = Path(weights_in(args.checkpoint))
        model = load_model(args.config or checkpoint.parent, checkpoint, 'cpu')
        metrics = find_metrics(model, checkpoint, args.metrics)
        print(f'wrote {save_folder(model, args.out, metrics or None)}')


if __name__ == '__main__':
    main()
