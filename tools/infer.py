"""Masks for sentences on your own photos. Stopped and run again, it goes on; broken photos are listed at the end.

Examples:
    python tools/infer.py photo.jpg --text "the dog on the left"
    python tools/infer.py photos/ a.jpg b.jpg --text "the dog" "the ball" --model FOLDER --out found
    python tools/infer.py list.csv --model FOLDER --out found

list.csv has the columns photo and text (or image and sentence), between commas, semicolons or tabs; so has list.tsv,
between tabs; list.jsonl has lines {"photo": "dog.jpg", "text": "the dog"}.

OUT gets masks/NAME.png (0 and 255), overlays/NAME.png and results.jsonl, a line for each photo and sentence with its
name, photo, sentence, box (left, top, right, bottom), area, confidence (null: the model draws polygons, and pixels have
no scores), understood (false: the model knows no word of the sentence), rle, the mask as COCO's tools read it; of
models that learned all their words in their training, unmet, words that it never said; and, of models that say it,
no_target, how likely it is that the sentence means nothing in the photo: above 0.5 the mask is empty.
"""

import argparse
import sys


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', nargs='+', help='photo, its http address, folder of photos, .csv, .tsv or .jsonl')
    parser.add_argument('--text', nargs='+', action='extend', default=[], help='which object is meant; one or several')
    parser.add_argument(
        '--model',
        help='folder, also by its name in work_dirs; checkpoint; config, or its name; default: '
        'work_dirs/quickstart-photos where it is trained, else work_dirs/quickstart',
    )
    parser.add_argument('--checkpoint', help='weights, where --model is a config')
    parser.add_argument('--out', default='results', help='folder for the results; default: results')
    parser.add_argument('--threshold', type=float, help="of the score, between 0 and 1; default: the model's own")
    parser.add_argument('--device', help='default: cuda if there is one, else cpu')
    parser.add_argument(
        '--precision',
        choices=['fp32', 'bf16', 'auto'],
        default='fp32',
        help='auto: that of the results in OUT, or bf16 where a timed product says that it pays; default: fp32',
    )
    parser.add_argument('--batch-size', type=int, default=16, help='sentences computed at once; default: 16')
    parser.add_argument(
        '--private-addresses', action='store_true', help='read http addresses of this machine and its network, too'
    )
    args = parser.parse_args()
    for name, value in vars(args).items():
        if value == '' or value == [
            ''
        ]:  # as of a variable of the shell that is not set; Path('') is the current folder
            parser.error(f'{name} is empty')
    if args.checkpoint and not args.model:
        parser.error('--checkpoint is for a --model that is a config; a checkpoint beside its config is a --model')
    return args


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from tqdm import tqdm

    from mgfe_ris.apis import RISInferencer, default_model, read_jobs, report_errors, segment_jobs
    from mgfe_ris.apis.infer import precision_in

    with report_errors():
        jobs = read_jobs(args.source, args.text, args.private_addresses)
        before = precision_in(args.out) if args.precision == 'auto' else None
        inferencer = RISInferencer(
            args.model or default_model(),
            args.checkpoint,
            args.device,
            before or args.precision,
            args.batch_size,
            private_addresses=args.private_addresses,
        )
        if args.precision == 'auto':
            print(f'precision auto: {inferencer.precision}' + f', as before in {args.out}' * bool(before))
        sentences = dict.fromkeys(sentence for job in jobs for sentence in job.sentences)
        asked = {sentence: inferencer.understands(sentence) for sentence in sentences}
        if unknown := [sentence for sentence, understood in asked.items() if not understood]:
            print(
                f'warning: {len(unknown)} of {len(asked)} sentences have no word that the model knows, the first is '
                f'{unknown[0]!r}; their masks mean nothing ("understood": false in results.jsonl)',
                file=sys.stderr,
            )
        if unmet := [sentence for sentence, understood in asked.items() if understood and inferencer.unmet(sentence)]:
            print(
                f'warning: {len(unmet)} of {len(asked)} sentences have words that the training of this model never '
                f'said, the first is {unmet[0]!r}; they are named in results.jsonl, "unmet"',
                file=sys.stderr,
            )
        found = segment_jobs(inferencer, jobs, args.out, args.threshold)
    broken = []
    try:
        with tqdm(found, total=len(jobs), unit='photo') as progress:
            for _, error in progress:
                if error:
                    broken.append(str(error))
                    progress.set_postfix(broken=len(broken))
    except OSError as error:  # not of a photo: a full disk, for one
        raise SystemExit(f'error: {args.out} cannot be written: {error}. Run again, it goes on') from error
    if done := len(jobs) - len(broken):
        print(f'wrote {args.out}: masks/, overlays/ and results.jsonl of {done} photos')
    if broken:
        print(f'{len(broken)} of {len(jobs)} photos are broken:', *broken, sep='\n', file=sys.stderr)
        raise SystemExit(1)


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        print('stopped; the same command goes on', file=sys.stderr)
        raise SystemExit(130) from None  # as shells have it
