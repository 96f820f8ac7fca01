"""Write the words that the sentences of a config's training data say, one a line: a vocabulary for a model that reads
whole words, model.data_preprocessor.tokenizer.pretrained=words.txt.

Example: python tools/dataset_converters/make_word_list.py projects/efn/efn_wrn101_refcoco.py --out words.txt
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or the name of one of ours')
    parser.add_argument('--out', type=Path, required=True, help='file to write, .txt')
    parser.add_argument('--at-least', type=int, default=1, help='leave out words that are said less often; default: 1')
    parser.add_argument(
        '--kind',
        choices=('phrasecut', 'seqtr'),
        default='phrasecut',
        help='phrasecut, EFN among others: marks are words, those said most come first; seqtr: marks are left out, '
        'words come in the order in which they are first said; default: phrasecut',
    )
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes, e.g. data_root=data/x')
    args = parser.parse_args(arguments)
    if args.out.suffix != '.txt':
        parser.error(f'--out {args.out}: the list is a .txt')
    if args.at_least < 1:
        parser.error(f'--at-least {args.at_least}: expected 1 or more')
    return args


def sentences_of(cfg: Config) -> Iterator[str]:
    """All sentences of each object that is trained on."""
    from mmengine.registry import init_default_scope
    from mmseg.registry import DATASETS

    from mgfe_ris.data_parts import parts_of, with_changed_parts

    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(with_changed_parts(cfg.train_dataloader.dataset, per_sentence=False, pipeline=[]))
    for part in parts_of(dataset):
        for i in range(len(part)):
            yield from part.get_data_info(i)['sentences']


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    from mgfe_ris.apis import load_config, report_errors
    from mgfe_ris.models.encoders.word_list import make_word_list
    from mgfe_ris.output_files import whole_file

    with report_errors():
        words = make_word_list(sentences_of(load_config(args.config, args.cfg_options)), args.at_least, args.kind)
        with whole_file(args.out) as part:
            part.write_text('\n'.join(words) + '\n', encoding='utf-8')
    print(f'wrote {args.out}: {len(words)} words, padding and the unknown word included')


if __name__ == '__main__':
    main()
