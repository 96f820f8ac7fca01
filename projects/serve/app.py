"""A server: a photo and sentences are sent, masks come back as JSON.

Examples:
    python projects/serve/app.py                                  # the model that bash tools/quickstart.sh trains
    python projects/serve/app.py --model FOLDER --port 9000 --batch-size 32
    curl -F photo=@photo.jpg -F "sentences=the red circle" http://127.0.0.1:8000/segment
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS_TO_END = 6
"""For what runs, when the server is ended; another two pass until all connections are closed."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--model',
        help='folder, also by its name in work_dirs; checkpoint; config, or its name; default: '
        'work_dirs/quickstart-photos where it is trained, else work_dirs/quickstart',
    )
    parser.add_argument('--checkpoint', help='weights, where --model is a config')
    parser.add_argument('--device', help='default: cuda if there is one, else cpu')
    parser.add_argument(
        '--precision',
        choices=['fp32', 'bf16', 'auto'],
        default='fp32',
        help='auto: bf16 where a timed product says that it pays; default: fp32',
    )
    parser.add_argument('--host', default='127.0.0.1', help='default: this machine alone; 0.0.0.0: the network, too')
    parser.add_argument('--port', type=int, default=8000)
    parser.add_argument('--batch-size', type=int, default=16, help='requests that are computed together, at most')
    parser.add_argument('--wait-ms', type=float, default=5, help='for which a request waits for others')
    parser.add_argument('--max-waiting', type=int, default=16, help='requests; further ones are refused at once')
    return parser.parse_args()


def check_options(args: argparse.Namespace) -> None:
    """Raises a ValueError for numbers that mean nothing."""
    if not 0 <= args.wait_ms <= 10_000:
        raise ValueError(f'--wait-ms must lie between 0 and 10000; got {args.wait_ms}')
    for name in ('batch_size', 'max_waiting'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name.replace("_", "-")} must be 1 or more; got {getattr(args, name)}')


def serve(args: argparse.Namespace) -> None:
    """Until it is ended; what is wrong with the options, the address or the model is said in a line."""
    # What takes seconds: --help and wrong options need not wait for it
    import numpy as np

    from mgfe_ris.apis import RISInferencer, default_model, report_errors
    from mgfe_ris.apis.infer.serving import MAX_PIXELS, listen

    host = args.host.strip('[]')  # as IPv6 stands in an address
    with report_errors():
        try:
            from service import Service, ServiceServer
        except ImportError as error:
            raise ImportError(f'{error}; pip install -r projects/serve/requirements.txt') from error
        check_options(args)
        listen(host, args.port).close()  # ahead of loading the model
        inferencer = RISInferencer(
            args.model or default_model(),
            args.checkpoint,
            args.device,
            args.precision,
            batch_size=args.batch_size,
            max_pixels=MAX_PIXELS,
        )
        if args.precision == 'auto':
            print(f'precision auto: {inferencer.precision}')
        inferencer(np.zeros((64, 64, 3), np.uint8), 'the red circle').to_json()  # ready means that it has run
        listener = listen(host, args.port)

    service = Service(inferencer, args.wait_ms / 1000, args.max_waiting)
    shown = f'[{host}]' if ':' in host else host
    print(f'{service.about["model"]} at http://{shown}:{args.port}/segment', flush=True)
    for number in SIGNALS:  # uvicorn has handlers of its own, and in the end raises once more what it caught
        signal.signal(number, lambda *_: None)
    ServiceServer(service, SECONDS_TO_END).run([listener])
    if service.batcher.running:  # a batch that takes longer than that; Python would wait for its thread
        sys.stdout.flush()
        os._exit(0)


def end(*_: object) -> None:
    """A server that was asked to end has done what it should."""
    sys.exit(0)


def main() -> None:
    args = parse_args()
    for number in SIGNALS:
        signal.signal(number, end)
    serve(args)


if __name__ == '__main__':
    main()
