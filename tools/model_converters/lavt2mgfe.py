"""A released checkpoint of the official LAVT -> a folder that test.py, infer.py and load_model open.

Example: python tools/model_converters/lavt2mgfe.py refcoco.pth --config lavt_swin-base_refcoco --out lavt
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='official file, with BERT beside the model or inside of it')
    parser.add_argument('--config', required=True, help='of the same architecture: a path, or the name of one of ours')
    parser.add_argument('--out', required=True, help='new folder')
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes of the config')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import build_model, load_config, report_errors, require_empty, save_converted
    from mgfe_ris.checkpoint_files import convert_checkpoint
    from mgfe_ris.models.checkpoints import from_lavt
    from mgfe_ris.models.encoders.text import HFTokenizer

    with report_errors():
        require_empty(args.out)
        cfg = load_config(args.config, args.cfg_options)
        state = convert_checkpoint(args.checkpoint, from_lavt)
        # official files do not say which tokenizer they were trained with: it is bert-base-uncased
        rows = len(state['text_encoder.model.embeddings.word_embeddings.weight'])
        words = HFTokenizer(**cfg.model.data_preprocessor.tokenizer)
        if len(words.tokenizer) != rows:
            raise ValueError(
                f'the tokenizer has {len(words.tokenizer)} words, the BERT in {args.checkpoint} has {rows}: '
                'give its own with --cfg-options model.data_preprocessor.tokenizer.pretrained=DIR'
            )
        print(f'wrote {save_converted(build_model(cfg), state, args.checkpoint, args.out)}')


if __name__ == '__main__':
    main()
