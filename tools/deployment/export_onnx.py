"""Write a model as ONNX, checked against PyTorch; tools/infer.py and RISInferencer run the folder.

With --int8, linear layers compute with integers of 8 bits, whose ranges are learned from sentences of the training
data, and convolutions have weights of 8 bits; the masks are then compared with those of float32 on as many sentences of
the validation data.

Example: python tools/deployment/export_onnx.py work_dirs/quickstart --out exported
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='folder, checkpoint or config')
    parser.add_argument('--checkpoint', help='weights, where the model is a config')
    parser.add_argument('--out', required=True, help='a new folder')
    parser.add_argument('--tolerance', type=float, default=1e-4, help='of logits, to PyTorch; default %(default)g')
    parser.add_argument('--int8', action='store_true', help='integers of 8 bits')
    parser.add_argument('--samples', type=int, default=128, help='with --int8: sentences; default %(default)s')
    parser.add_argument('--data', metavar='DIR', help="with --int8: data_root; default: the config's")
    args = parser.parse_args()
    if args.data and not args.int8:
        parser.error('--data is for --int8, which alone looks at data')
    return args


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import export_int8, export_onnx, load_trained, report_errors, require_empty
    from mgfe_ris.apis.config import set_everywhere
    from mgfe_ris.apis.onnx_segmentor import require_onnx

    with report_errors():
        require_empty(args.out)
        require_onnx()
        model = load_trained(args.model, args.checkpoint, 'cpu')
        if not args.int8:
            worst = export_onnx(model, args.out, args.tolerance)
            print(f'wrote {args.out}; logits differ from PyTorch by at most {worst:.1e}')
            return
        if args.data:
            set_everywhere(model.cfg._cfg_dict, 'data_root', args.data)
        found = export_int8(model, args.out, args.samples, args.tolerance)
    print(f'wrote {args.out}; int8, calibrated on {found.sentences} sentences of {found.calibrated_on}')
    print(
        f'on {found.compared} sentences of {found.compared_on}, {found.differ:.2%} of the pixels are in one mask and '
        f'not in the other, of int8 and float32; the masks overlap with an IoU of {found.iou:.1%}'
    )


if __name__ == '__main__':
    main()
