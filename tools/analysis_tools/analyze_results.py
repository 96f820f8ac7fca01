"""Look at what a test wrote: models side by side, the worst failures, IoU over size, length and other objects, and what
the stages of a model look at.

Example: python tools/analysis_tools/analyze_results.py baseline=a/val.jsonl ours=b/val.jsonl --out analysis
"""

import argparse
import random
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', nargs='+', metavar='NAME=FILE', help='<split>.jsonl that tools/test.py --out wrote')
    parser.add_argument('--model', help='folder or config of the last of them: draw its stages, too')
    parser.add_argument('--checkpoint', help='where --model is a config')
    parser.add_argument('--samples', type=int, default=6, help='to draw; default: 6')
    parser.add_argument('--seed', type=int, default=0, help='of the samples that are drawn')
    parser.add_argument('--out', type=Path, default=Path('analysis'), help='folder; default: analysis')
    return parser.parse_args()


def read(named: list[str]) -> dict[str, list[dict]]:
    """Records by name; a name that is not given is the folder's."""
    from mgfe_ris.visualization import read_results

    results = {}
    for text in named:
        name, equals, file = text.rpartition('=')
        results[name if equals else Path(file).parent.name] = read_results(file)
    if len(results) < len(named):
        raise ValueError(f'{named}: two of the same name; give each one, as NAME=FILE')
    return results


def main() -> None:
    args = parse_args()
    # behind the arguments: --help and wrong options need not wait for what takes seconds to import
    from PIL import Image

    from mgfe_ris.apis import load_model, report_errors, stage_features
    from mgfe_ris.visualization import draw_stages, grid, plot_factors, read_photo, side_by_side, worst

    with report_errors():
        results = read(args.results)
        *_, last = results.values()
        chosen = random.Random(args.seed).sample(range(len(last)), min(args.samples, len(last)))
        pictures = {'side_by_side': side_by_side(results, chosen), 'worst': worst(last, args.samples)}
        if args.model:
            model = load_model(args.model, args.checkpoint)
            pictures['stages'] = grid(
                [
                    draw_stages(read_photo(path), sentence, stage_features(model, path, sentence))
                    for path, sentence in ((last[i]['img_path'], last[i]['sentence']) for i in chosen)
                ],
                columns=1,
                gap=12,
            )
        args.out.mkdir(parents=True, exist_ok=True)
        plot_factors(results, args.out / 'factors.png')
        for name, picture in pictures.items():
            Image.fromarray(picture).save(args.out / f'{name}.png')
        print(f'wrote {", ".join(sorted(path.name for path in args.out.glob("*.png")))} in {args.out}')


if __name__ == '__main__':
    main()
