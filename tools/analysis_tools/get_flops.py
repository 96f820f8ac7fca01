"""Parameters and GFLOPs of a config, as Tables 2 and 3 of the paper count them, and completely.

Example: python tools/analysis_tools/get_flops.py configs/mgfe_ris/mgfe-ris_swin-base_refcoco.py
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or the name of one of ours')
    parser.add_argument('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'), help="default: the config's own")
    parser.add_argument(
        '--words',
        type=int,
        help="tokens of the sentence; default: 30, as in the paper's tables, or all that a smaller text encoder takes",
    )
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes, e.g. model.neck.weigh=None')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    from mgfe_ris.apis import input_size, load_config, report_errors
    from mgfe_ris.models.shapes_only import build_shapes
    from mgfe_ris.profiling import count_complexity

    with report_errors():
        cfg = load_config(args.config, args.cfg_options, from_scratch=True)
        init_default_scope('mmseg')
        size = tuple(args.size or input_size(cfg))
        model = build_shapes(lambda: MODELS.build(cfg.model))
        most = getattr(getattr(model, 'text_encoder', None), 'max_tokens', None)
        words = min(30, most or 30) if args.words is None else args.words
        c = count_complexity(model, size, words)
        rows = [
            ('Params (M), as in the paper', c.image_params + c.text_params),
            ('  image side', c.image_params),
            ('  text encoder', c.text_params),
            ('GFLOPs, as in the paper', c.image_modules),
            ('  + attention products', c.image_modules + c.image_attention),
            ('  + attention products + text encoder', c.image_modules + c.image_attention + c.text),
        ]
        print(f'{args.config}: one photo of {size[0]}x{size[1]}, {words} words')
        for label, value in rows:
            print(f'{label:40}{value:10.2f}')
        print('GFLOPs: giga multiply-accumulates. As in the paper: convolutions, linear layers, normalisations and the')
        print("softmax of Swin's windows; no matrix products of attention, no text encoder.")


if __name__ == '__main__':
    main()
