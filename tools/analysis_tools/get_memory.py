"""The memory that a training step of a config takes on a CUDA device, counted without such a device.

Forward and backward pass run on tensors without contents. What that leaves out, is said in
mgfe_ris/profiling/memory.py; a card needs about 1 GiB more than the peak.

Example: python tools/analysis_tools/get_memory.py mgfe-ris_swin-base_refcoco --batch 8 --amp bf16 --checkpointing
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or the name of one of ours')
    parser.add_argument('--batch', type=int, default=8, help='photos, with a sentence each')
    parser.add_argument('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'), help="default: the config's own")
    parser.add_argument(
        '--words', type=int, help="tokens of a sentence; default: as many as the config's tokenizer pads to"
    )
    parser.add_argument('--amp', choices=['bf16', 'fp16'], help='autocast; default: float32')
    parser.add_argument('--checkpointing', action='store_true', help='model.encoder.with_cp=True')
    parser.add_argument('--top', type=int, default=10, help='the largest tensors kept for the backward pass')
    parser.add_argument('--cfg-options', nargs='+', action='extend', help='changes, e.g. model.encoder.window_size=7')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # after the arguments: --help and wrong options need not wait for what takes seconds to import
    from mgfe_ris.apis import build_model, input_size, load_config, report_errors
    from mgfe_ris.models.shapes_only import build_shapes
    from mgfe_ris.profiling import trace_memory

    options = [*(args.cfg_options or []), *(['model.encoder.with_cp=True'] if args.checkpointing else [])]
    with report_errors():
        cfg = load_config(args.config, options, from_scratch=True)
        model = build_shapes(lambda: build_model(cfg))
        height, width = args.size or input_size(cfg)
        words = model.data_preprocessor.tokenizer.max_tokens if args.words is None else args.words
        memory = trace_memory(model, args.batch, (height, width), words, args.amp)
    how = f'{args.amp or "float32"}{", encoder checkpointed" if args.checkpointing else ""}'
    print(f'{args.config}: training, {args.batch} photos of {height} x {width}, {words} words, {how}')
    for label, gib in (
        ('Weights and buffers', memory.weights),
        ('Gradients', memory.gradients),
        ("AdamW's moments", memory.optimizer),
        ('Kept for the backward pass', memory.activations),
        ('Peak', memory.peak),
    ):
        print(f'{label:40}{gib:10.2f} GiB')
    if args.top > 0:
        print('The largest tensors that are kept:')
    for kept in memory.kept[: max(args.top, 0)]:
        shape = ' x '.join(map(str, kept.shape))
        print(f'  {1024 * kept.gib:8.1f} MiB  {shape} {str(kept.dtype).removeprefix("torch.")}  {kept.module}')
    if memory.scores:
        print('Attention whose scores are materialised, since its inputs do not suit a fused kernel:')
    for kept in memory.scores:
        print(f'  {" x ".join(map(str, kept.shape))}  {kept.module}')


if __name__ == '__main__':
    main()
