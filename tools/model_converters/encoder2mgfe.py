"""Pretrained weights of an encoder -> the same under our names, for a look, or for another program.

Configs need no converted file: ``init_cfg=dict(type='Pretrained', checkpoint=...)`` takes every form as it is.

Example: python tools/model_converters/encoder2mgfe.py swin swin_base_patch4_window12_384_22k.pth swin.safetensors
"""

import argparse

CONVERTERS = {  # names of functions in mgfe_ris.models.checkpoints
    'swin': 'from_swin',  # of the original repository, OpenMMLab, Hugging Face
    'text': 'from_text',  # BERT, RoBERTa, CLIP of Hugging Face
    'vit': 'from_vit',  # of DINO's repository, OpenMMLab
    'conv': 'from_convolutional',  # ResNet of torchvision, OpenMMLab; ConvNeXt of OpenMMLab
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('kind', choices=CONVERTERS)
    parser.add_argument('checkpoint', help='file or URL')
    parser.add_argument('out', help='new file, .safetensors or .pth')
    parser.add_argument('--window-size', type=int, help="Swin: interpolate the position tables to this window's")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import report_errors
    from mgfe_ris.checkpoint_files import convert_checkpoint, require_new, write_checkpoint
    from mgfe_ris.models import checkpoints

    with report_errors():
        require_new(args.out)
        if args.window_size is not None and args.kind != 'swin':
            raise ValueError(f'--window-size is for swin; a {args.kind} has no windows')
        if args.window_size is not None and args.window_size < 1:
            raise ValueError(f'--window-size {args.window_size}: expected 1 or more')
        state = convert_checkpoint(args.checkpoint, getattr(checkpoints, CONVERTERS[args.kind]))
        if args.window_size:
            state = checkpoints.resize_position_tables(state, args.window_size)
        print(f'wrote {write_checkpoint(state, args.out)}')


if __name__ == '__main__':
    main()
