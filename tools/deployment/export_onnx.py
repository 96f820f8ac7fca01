"""Write a model as ONNX, checked against PyTorch; tools/infer.py and RISInferencer run the folder.

Example: python tools/deployment/export_onnx.py work_dirs/quickstart --out exported
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='folder, checkpoint or config')
    parser.add_argument('--checkpoint', help='weights, where the model is a config')
    parser.add_argument('--out', required=True, help='a new folder')
    parser.add_argument('--tolerance', type=float, default=1e-4, help='of logits, to PyTorch; default %(default)g')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # behind the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import export_onnx, load_trained, report_errors, require_empty
    from mgfe_ris.apis.onnx_segmentor import require_onnx

    with report_errors():
        require_empty(args.out)
        require_onnx()
        worst = export_onnx(load_trained(args.model, args.checkpoint, 'cpu'), args.out, args.tolerance)
    print(f'wrote {args.out}; logits differ from PyTorch by at most {worst:.1e}')


if __name__ == '__main__':
    main()
