"""Write a model as a graph of torch.export, or as C++ of AOTInductor, checked against the model itself.

Example: python tools/deployment/export_torch.py work_dirs/quickstart --out exported
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='folder, checkpoint or config')
    parser.add_argument('--checkpoint', help='weights, where the model is a config')
    parser.add_argument('--out', required=True, help='a new folder')
    parser.add_argument('--compile', action='store_true', help='AOTInductor, for the CPU of this machine; needs g++')
    parser.add_argument('--tolerance', type=float, default=1e-4, help='of logits, to the model; default %(default)g')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import export_torch, load_trained, report_errors, require_empty

    with report_errors():
        require_empty(args.out)
        model = load_trained(args.model, args.checkpoint, 'cpu')
        worst = export_torch(model, args.out, args.compile, args.tolerance)
    print(f'wrote {args.out}; logits differ from the model by at most {worst:.1e}')


if __name__ == '__main__':
    main()
