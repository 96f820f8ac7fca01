"""A page: drop a photo, say which objects are meant, see and download their masks.

Examples:
    python projects/web_demo/app.py                                  # what quickstart.sh left; first, of --photos
    python projects/web_demo/app.py --model FOLDER --port 8000
"""

from __future__ import annotations

import argparse
import html
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

# What takes seconds is imported inside the functions: --help and wrong options need not wait for it
if TYPE_CHECKING:
    import numpy as np

    from mgfe_ris.apis import RISInferencer, RISResult

# A page's last photo stays in memory for its slider, of so many pages: 3 bytes for each pixel, and 5 for each pixel
# and sentence. The limits of a request are those of mgfe_ris.apis.infer.serving
MAX_PAGES = 8
# Longest side of the picture with the masks, in pixels
SHOWN = 640, 1280

TITLE = 'A mask for a sentence'
INTRO = 'Drop a photo and say which objects are meant, each in a line of its own.'
DRAWN = 'This model has seen drawn shapes only, as in the examples below, and no photos of the world.'
DRAWN_WORDS, PHOTO_WORDS = 'the red circle on the left\nthe ring', 'the dog on the left\nthe woman in the blue coat'
OUTLINES = 'This model draws outlines: a pixel has no score, and there is no threshold to move.'
# On a phone the masks lie below what was given
SCROLL = """() => {
    const masks = document.getElementById('masks')
    if (masks && innerWidth < 640 && !document.querySelector('#message p')) masks.scrollIntoView({behavior: 'smooth'})
}"""
CSS = """
    #hint > div { padding: 148px 16px; border: 1px dashed var(--border-color-primary); border-radius: 8px;
        text-align: center; color: var(--body-text-color-subdued); }
    #message p { padding: 8px 12px; border-left: 4px solid var(--error-border-color);
        background: var(--error-background-fill); color: var(--error-text-color); }
    #masks { min-height: 240px; }
    #photo img { width: 100%; height: 100%; object-fit: contain; }
    #masks img { max-height: 560px; }
    #files button { display: none; }
    #examples td { white-space: pre-line; text-align: left; }
    #legend table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
    #legend th, #legend td { padding: 6px 8px; text-align: right;
        border-bottom: 1px solid var(--border-color-primary); }
    #legend th { font-weight: normal; color: var(--body-text-color-subdued); white-space: nowrap; }
    #legend .sentence { width: 100%; text-align: left; overflow-wrap: anywhere; }
    #legend i { display: block; width: 14px; height: 14px; border-radius: 3px; }
    #legend p { color: var(--body-text-color-subdued); margin: 8px; }
    @media (max-width: 640px) { #hint { display: none; } #legend th { white-space: normal; } }
"""


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
    parser.add_argument('--port', type=int, default=7860)
    return parser.parse_args()


def split_sentences(text: Any) -> list[str]:
    """One sentence a line.

    Raises:
        ValueError: no text, no sentence, too many, or too long a one.
    """
    from mgfe_ris.apis.infer.serving import check_asked

    if not isinstance(text, str):
        raise ValueError(f'The sentences must be text; got {type(text).__name__}.')
    return check_asked([line for line in text.splitlines() if line.strip()])


def read_upload(upload: Any, folder: Path, sentences: int) -> np.ndarray:
    """A photo (H, W, 3) uint8, of which the header is checked ahead of decoding.

    Raises:
        ValueError: none, not a photo, too large a one, or a file that lies elsewhere.
    """
    from mgfe_ris.apis import open_photo
    from mgfe_ris.apis.infer.serving import MAX_PIXELS, open_upload

    try:
        path = Path(upload['path']).resolve()
        path.relative_to(folder.resolve())
        data = path.read_bytes()
    except (KeyError, OSError, TypeError, ValueError) as error:  # also what no page asks, but others may
        raise ValueError('Drop a photo first.') from error
    return open_photo(open_upload(data, sentences), max_pixels=MAX_PIXELS)


def as_shown(photo: np.ndarray) -> np.ndarray:
    """Small photos enlarged, large ones shrunk, for the page."""
    import numpy as np
    from PIL import Image

    low, high = SHOWN
    height, width = photo.shape[:2]
    longest = max(height, width)
    scale = min(max(longest, low), high) / longest
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(photo).resize(size))


def legend(results: list[RISResult], masks: list[np.ndarray], note: str) -> str:
    """HTML: the number of the mask's file, its colour, the sentence, area and score in each row."""
    from mgfe_ris.visualization import PALETTE

    rows = []
    for i, (result, mask, colour) in enumerate(zip(results, masks, PALETTE, strict=False), 1):
        sentence = html.escape(result.sentence)
        if not result.understood:
            sentence += '<br><em>The model knows no word of this sentence: the mask means nothing.</em>'
        elif result.unmet:
            unmet = html.escape(', '.join(result.unmet))
            sentence += f'<br><em>The training of this model never said: {unmet}.</em>'
        if result.means_nothing:
            sentence += '<br><em>The model finds nothing in the photo that this sentence means.</em>'
        score = f'{result.score[mask].mean():.2f}' if result.score is not None and mask.any() else '-'
        rows.append(
            f'<tr><td>{i}</td><td><i style="background: rgb{colour}"></i></td><td class="sentence">{sentence}</td>'
            f'<td>{100 * mask.mean():.1f}&nbsp;%</td><td>{score}</td></tr>'
        )
    if any(result.score is None for result in results):
        note = f'{OUTLINES} {note}'
    return (
        '<table><thead><tr><th></th><th></th><th class="sentence">sentence</th><th>area</th><th>mean score</th></tr>'
        f'</thead><tbody>{"".join(rows)}</tbody></table><p>{note}</p>'
    )


def write_masks(masks: list[np.ndarray], folder: Path, written: list[Path]) -> list[str]:
    """PNGs of 0 and 255 at the photo's size, under a name that nobody guesses; of those that a page had, all go but the
    last, which may be on their way to it."""
    from mgfe_ris.apis.infer.result import write_image

    written.append(folder / secrets.token_hex(16))
    paths = [written[-1] / f'mask_{i}.png' for i in range(1, len(masks) + 1)]
    for mask, path in zip(masks, paths, strict=True):
        write_image(mask, path)
    for former in written[:-2]:
        shutil.rmtree(former, ignore_errors=True)
    del written[:-2]
    return [str(path) for path in paths]


class Demo:
    """What the page calls."""

    def __init__(self, inferencer: RISInferencer, folder: Path):
        self.inferencer = inferencer
        self.folder = folder

    def segment(self, upload: Any, text: Any, threshold: Any, kept: tuple | None) -> tuple[Any, ...]:
        """Photo and sentences -> what is wrong with them; or '', what is kept for the slider, and all that is shown."""
        import gradio

        try:
            sentences = split_sentences(text)
            photo = read_upload(upload, self.folder, len(sentences))
            begin = time.perf_counter()
            results = self.inferencer(photo, sentences)
            seconds = time.perf_counter() - begin
            size = f'{len(sentences)} sentence{"s"[: len(sentences) > 1]}, {photo.shape[1]} x {photo.shape[0]} pixels'
            kept = as_shown(photo), results, f'{seconds:.2f} s for {size}', kept[-1] if kept else []
            shown = self.show(kept, threshold)
        except ValueError as error:
            return (f'<p role="alert">{html.escape(str(error))}</p>', *[gradio.skip()] * 6)
        return ('', kept, gradio.HTML(visible=False), gradio.Column(visible=True), *shown)

    def show(self, kept: tuple | None, threshold: Any) -> tuple[Any, Any, Any]:
        """The picture with the masks, its legend, and the masks as files."""
        import gradio

        from mgfe_ris.apis.infer.inferencer import check_threshold
        from mgfe_ris.visualization import PALETTE, overlay

        own = self.inferencer.threshold
        if own is not None:  # else there is no slider
            check_threshold(threshold)
        if kept is None:  # of so many pages only
            raise gradio.Error('This page has rested for too long; press the button again.', print_exception=False)
        picture, results, note, written = kept
        # the scores are there; at the model's own threshold rounded ones would not tell which is larger
        masks = [
            result.mask
            if result.score is None or threshold == own or result.means_nothing
            else result.score > threshold
            for result in results
        ]
        for mask, colour in zip(masks, PALETTE, strict=False):
            picture = overlay(picture, mask, colour)
        return picture, legend(results, masks, note), write_masks(masks, self.folder, written)


def draw_examples(folder: Path) -> list[list[str]]:
    """Photos that the quickstart's model understands, with sentences about them.

    Not in its data; of 16 seeds, one where it finds all objects.
    """
    from mgfe_ris.datasets import ReferringDataset
    from mgfe_ris.datasets.synthetic import write_refshapes

    write_refshapes(folder, 'refshapes', images=12, seed=104, size=320, progress=False)
    data = ReferringDataset(data_root=str(folder), ann_folder='refshapes', split_by='unc', split='train', pipeline=[])
    photos: dict[str, list[str]] = {}
    for i in range(len(data)):
        info = data.get_data_info(i)
        photos.setdefault(info['img_path'], []).append(info['sentences'][0])
    return [[photo, '\n'.join(sentences[:2])] for photo, sentences in list(photos.items())[:3]]


def knows_drawn_shapes_only(inferencer: RISInferencer) -> bool:
    """Whether its config is one of RefShapes'."""
    return 'refshapes' in (inferencer.model.cfg.test_dataloader.dataset.get('ann_folder') or '')


def build_page(demo: Demo, examples: list[list[str]]) -> Any:
    """The page, to be launched."""
    import gradio

    from mgfe_ris.apis.infer.serving import MAX_SENTENCES, MAX_WAITING

    with gradio.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gradio.Markdown(f'# {TITLE}\n{INTRO} {DRAWN if examples else ""}')
        kept = gradio.State(time_to_live=3600)
        with gradio.Row():
            with gradio.Column():
                photo = gradio.Image(label='Photo', sources=['upload', 'clipboard'], height=320, elem_id='photo')
                text = gradio.Textbox(
                    label='Which objects?', placeholder=DRAWN_WORDS if examples else PHOTO_WORDS, lines=2,
                    max_lines=MAX_SENTENCES, elem_id='text',
                )  # fmt: skip
                button = gradio.Button('Show the masks', variant='primary', elem_id='segment')
                message = gradio.HTML(elem_id='message')
                ask = [button.click, text.submit]
                if examples:
                    ask.append(gradio.Examples(examples, [photo, text], elem_id='examples').load_input_event.then)
            with gradio.Column():
                hint = gradio.HTML('<div>The masks appear here.</div>', elem_id='hint')
                with gradio.Column(visible=False) as found:
                    picture = gradio.Image(
                        label='Masks', format='png', interactive=False, buttons=['download', 'fullscreen'],
                        elem_id='masks',
                    )  # fmt: skip
                    numbers = gradio.HTML(apply_default_css=False, elem_id='legend')
                    own = demo.inferencer.threshold
                    threshold = gradio.Slider(
                        0.05, 0.95, own, step=0.05, label='Threshold', elem_id='threshold', visible=own is not None,
                    )  # fmt: skip
                    files = gradio.File(label='Download', interactive=False, elem_id='files')
        shown = [picture, numbers, files]
        for event in ask:
            event(
                demo.segment, [photo, text, threshold, kept], [message, kept, hint, found, *shown],
                preprocess=False,  # gradio would decode the photo before anyone could look at its size
                concurrency_id='model', concurrency_limit=1, api_visibility='private', show_progress_on=message,
            ).success(None, js=SCROLL)  # fmt: skip
        threshold.input(
            demo.show, [kept, threshold], shown, preprocess=False,
            trigger_mode='always_last', show_progress='hidden', api_visibility='private',
        )  # fmt: skip
    return page.queue(max_size=MAX_WAITING)


class RefuseLargeRequests:
    """ASGI middleware: gradio limits each file of a request, not the request."""

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.responses import PlainTextResponse

        from mgfe_ris.apis.infer.serving import MAX_BYTES

        headers = dict(scope.get('headers', ()))
        length = headers.get(b'content-length', b'0')
        # 1 MB for what is around the file
        if b'transfer-encoding' in headers or not length.isdigit() or int(length) > MAX_BYTES + 1_000_000:
            refuse = PlainTextResponse(f'at most {MAX_BYTES // 1_000_000} MB, with their length ahead', 413)
            return await refuse(scope, receive, send)
        await self.app(scope, receive, send)


def serve(args: argparse.Namespace, folder: Path) -> None:
    """Until it is ended."""
    from mgfe_ris.apis import RISInferencer, default_model, report_errors
    from mgfe_ris.apis.infer.serving import MAX_BYTES, MAX_PIXELS, listen

    host = args.host.strip('[]')  # as IPv6 stands in an address
    with report_errors():
        try:
            import gradio
            from starlette.middleware import Middleware
        except ImportError as error:
            raise ImportError(f'{error}; pip install -r projects/web_demo/requirements.txt') from error
        listen(host, args.port).close()  # ahead of loading the model
        model = args.model or default_model()
        inferencer = RISInferencer(model, args.checkpoint, args.device, args.precision, max_pixels=MAX_PIXELS)
        if args.precision == 'auto':
            print(f'precision auto: {inferencer.precision}')

    examples = draw_examples(folder / 'drawn') if knows_drawn_shapes_only(inferencer) else []
    build_page(Demo(inferencer, folder), examples).launch(
        server_name=f'[{host}]' if ':' in host else host, server_port=args.port,
        share=False, enable_monitoring=False, show_error=True,
        max_file_size=MAX_BYTES, state_session_capacity=MAX_PAGES, footer_links=[],
        css=CSS, app_kwargs={'middleware': [Middleware(RefuseLargeRequests)]},
        theme=gradio.themes.Soft(font=['system-ui', 'sans-serif'], font_mono=['monospace']),
    )  # fmt: skip


def end(*_: Any) -> None:
    """Once: a second signal would break off the clearing away."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit()


def main() -> None:
    args = parse_args()
    # gradio would read them, and some widen what is served; the path behind a proxy does not
    for name in [name for name in os.environ if name.startswith('GRADIO_') and name != 'GRADIO_ROOT_PATH']:
        del os.environ[name]
    signal.signal(signal.SIGTERM, end)
    with tempfile.TemporaryDirectory(prefix='mgfe_ris_') as folder:
        # all that the page writes, and may hand out, lies here and goes with the program
        tempfile.tempdir = folder
        os.environ.update(GRADIO_TEMP_DIR=folder, GRADIO_EXAMPLES_CACHE=folder)
        serve(args, Path(folder))


if __name__ == '__main__':
    main()
