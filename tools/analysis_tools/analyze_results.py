"""Look at what a test wrote. Printed: each model's metrics with 95 % intervals, and, where the lines say the target's
category, IoU per category. Drawn, as in figures 5 to 8 of the paper: models side by side, the worst failures, IoU over
size of the target, length of the sentence and number of other objects, and what a model's stages make of a sentence.

Example: python tools/analysis_tools/analyze_results.py baseline=a/val.jsonl ours=b/val.jsonl --out analysis
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    import numpy as np

    from mgfe_ris.visualization import Record


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', nargs='+', metavar='NAME=FILE', help='<split>.jsonl that tools/test.py --out wrote')
    parser.add_argument('--model', help='folder or config of the last of them: draw its stages, too')
    parser.add_argument('--checkpoint', help='where --model is a config')
    parser.add_argument('--samples', type=int, default=6, help='to draw; default: 6')
    parser.add_argument('--categories', type=int, default=20, help='to print, the most frequent ones; default: 20')
    parser.add_argument(
        '--words',
        help='a text file of the words of the training, which make_word_list.py writes: print IoU by how many words of '
        'a sentence are not in it, too',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the samples that are drawn')
    parser.add_argument('--out', type=Path, default=Path('analysis'), help='folder; default: analysis')
    return parser.parse_args()


def check(args: argparse.Namespace) -> None:
    """Raises ValueError or OSError for options that cannot be meant."""
    from mgfe_ris.output_files import require_folder

    if args.samples < 1:
        raise ValueError(f'--samples must be 1 or more; got {args.samples}')
    if args.categories < 1:
        raise ValueError(f'--categories must be 1 or more; got {args.categories}')
    if args.checkpoint and not args.model:
        raise ValueError('--checkpoint needs --model: the config that it was trained with')
    require_folder('--out', args.out)


def read(named: Sequence[str]) -> dict[str, list[Record]]:
    """Records by name; a name that is not given is the folder's."""
    from mgfe_ris.visualization import read_results

    results = {}
    for text in named:
        name, equals, file = text.partition('=')
        if Path(text).is_file() or not equals:  # a path may hold a =
            name, file = Path(text).absolute().parent.name, text
        if name in results:
            raise ValueError(f'{file}: two of the same name, {name!r}; give each one, as NAME=FILE')
        results[name] = read_results(file)
    return results


def other_sentence(records: Sequence[Record], record: Record) -> str:
    """What is said of another object: of the same photo, if one is."""
    others = [r for r in records if (r['img_id'], r['ref_id']) != (record['img_id'], record['ref_id'])]
    same_photo = (r['sentence'] for r in others if r['img_id'] == record['img_id'])
    return next(same_photo, others[0]['sentence'] if others else 'something else')


def stages(model: Any, records: Sequence[Record], chosen: Sequence[int]) -> np.ndarray:
    """A block of pictures per sample."""
    from mgfe_ris.apis import RISInferencer, stage_features
    from mgfe_ris.visualization import STAGES_LEGEND, Response, decode_mask, draw_stages, grid, read_photo, titled

    inferencer = RISInferencer(model)
    blocks = []
    for record in (records[i] for i in chosen):
        photo = record['img_path']
        asked, other = (
            Response(sentence, inferencer(photo, sentence).mask, stage_features(model, photo, sentence))
            for sentence in (record['sentence'], other_sentence(records, record))
        )
        blocks.append(draw_stages(read_photo(photo), decode_mask(record['truth']), asked, other))
    return titled(grid(blocks, columns=1, gap=12), STAGES_LEGEND)


def write(out: Path, results: Mapping[str, Sequence[Record]], pictures: Mapping[str, np.ndarray]) -> None:
    from PIL import Image

    from mgfe_ris.visualization import plot_factors

    out.mkdir(parents=True, exist_ok=True)
    plot_factors(results, out / 'factors.png')
    for name, picture in pictures.items():
        Image.fromarray(picture).save(out / f'{name}.png')
    print(f'wrote {", ".join(sorted(f"{name}.png" for name in ("factors", *pictures)))} in {out}')


def metrics_of(results: dict[str, list[dict]]) -> str:
    """Of each model, with intervals; nothing of generalised tests, whose figures have other names and rules."""
    from mgfe_ris.evaluation import Run, measured
    from mgfe_ris.visualization import results_table

    if any('truth_pixels' in records[0] for records in results.values()):
        return ''
    return results_table({name: measured([Run.of(0, records)]) for name, records in results.items()})


def main() -> None:
    args = parse_args()
    from mgfe_ris.apis import load_model, report_errors
    from mgfe_ris.training_words import read_word_file
    from mgfe_ris.visualization import category_table, side_by_side, unmet_table, worst

    with report_errors():
        check(args)
        results = read(args.results)
        words = read_word_file(args.words) if args.words else None
        model = load_model(args.model, args.checkpoint) if args.model else None
        last = list(results.values())[-1]
        chosen = random.Random(args.seed).sample(range(len(last)), min(args.samples, len(last)))
        pictures = {'side_by_side': side_by_side(results, chosen), 'worst': worst(results, args.samples)}
        if model is not None:
            pictures['stages'] = stages(model, last, chosen)
        tables = [metrics_of(results), category_table(results, args.categories)]
        if words is not None:
            tables.append(unmet_table(results, words))
        for table in filter(None, tables):
            print(f'{table}\n')
        write(args.out, results, pictures)


if __name__ == '__main__':
    main()
