"""The letters of a caption, in whatever script."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import cast

from mmengine.logging import MMLogger
from PIL import ImageDraw, ImageFont, features

JOINERS = '\u200c\u200d'
"""Draw nothing; they say which letters join, in Persian, in scripts of India, and in emoji."""


class Lettering:
    """A text as it can be drawn: every letter in a font that has it.

    ASCII is drawn in Pillow's own font, for which nothing else is imported. Any other text is in DejaVu Sans, which
    comes with matplotlib, and what that lacks in the first font of the system that has it.

    Args:
        text: one or more lines.
        size: of the fonts, pixels.

    Attributes:
        text: composed (NFC), without what cannot be seen. A letter that no font has is spelled as Python and JSON do
            (``\\u72d7``), so that two sentences stay apart and can be found; what to install is logged once a script.
        ascent: from the top of a line to its baseline, pixels.
    """

    def __init__(self, text: str, size: int):
        self._own = cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))
        self._size = size
        self._opened: dict[str, ImageFont.FreeTypeFont] = {}
        self.ascent = self._own.getmetrics()[0]
        self.text = _drawable(text)
        if not features.check('raqm') and any(unicodedata.bidirectional(letter) in ('R', 'AL') for letter in self.text):
            _warn_of_direction()

    def length(self, line: str) -> float:
        """Of a part of the text on one line, pixels."""
        return sum(font.getlength(piece) for piece, font in self._pieces(line))

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, baseline: float, line: str) -> None:
        """Write a part of the text in black."""
        for piece, font in self._pieces(line):
            canvas.text((x, baseline), piece, fill='black', font=font, anchor='ls')
            x += font.getlength(piece)

    def _pieces(self, line: str) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
        """As long as possible: letters that join, or run from right to left, must not be drawn one by one."""
        if self.text.isascii():
            yield line, self._own
            return
        piece, path = '', None
        for cluster in clusters(line):
            its_path = path if cluster.isspace() else _file_of[cluster]
            if path != its_path and path is not None:
                yield piece, self._font(path)
                piece = ''
            piece, path = piece + cluster, its_path
        yield piece, self._own if path is None else self._font(path)  # None: nothing but space

    def _font(self, path: str) -> ImageFont.FreeTypeFont:
        if path not in self._opened:
            self._opened[path] = ImageFont.truetype(path, self._size)
        return self._opened[path]


# Letters


def _drawable(text: str) -> str:
    shown = (letter for letter in unicodedata.normalize('NFC', text) if not _invisible(letter))
    text = ''.join(_escaped(letter) if _is_control(letter) else letter for letter in shown)
    if text.isascii():
        return text
    parts = list(clusters(text))
    _look_up({part for cluster in parts for part in (cluster, cluster[0])})
    text = ''.join(map(_spelled, parts))
    _look_up(set(text))  # what it was spelled with
    return text


def _invisible(letter: str) -> bool:
    """Marks of direction, soft hyphens, choices among pictures of one letter."""
    if letter in JOINERS:
        return not features.check('raqm')  # which joins; without it, they are boxes
    return unicodedata.category(letter) == 'Cf' or _name(letter).startswith('VARIATION SELECTOR')


def _is_control(letter: str) -> bool:
    """Or halves of a letter, and what Unicode does not define: no font has them."""
    return unicodedata.category(letter)[0] == 'C' and letter not in JOINERS and not letter.isspace()


def clusters(text: str) -> Iterator[str]:
    """Letters, each with the marks that stand on it."""
    start = 0
    for i in range(1, len(text) + 1):
        if i == len(text) or not (text[i] in JOINERS or unicodedata.category(text[i])[0] == 'M'):
            yield text[start:i]
            start = i


def _spelled(cluster: str) -> str:
    """As it is where a font has it; else by its code points, with or without the first letter."""
    if cluster.isspace() or _file_of.get(cluster):
        return cluster
    letter, marks = cluster[0], cluster[1:]
    if not _file_of.get(letter):
        _warn_of_script('symbols' if unicodedata.category(letter)[0] == 'S' else _name(letter).partition(' ')[0])
        letter = _escaped(letter)
    return letter + ''.join(map(_escaped, marks))


def _escaped(letter: str) -> str:
    return letter.encode('unicode_escape').decode('ascii')


def _name(letter: str) -> str:
    return unicodedata.name(letter, '')


@cache
def _warn_of_script(script: str) -> None:
    MMLogger.get_current_instance().warning(
        f'no font on this machine has all letters of {script}: in pictures, code points stand for them. Noto has most '
        "scripts: https://fonts.google.com/noto, or Debian's fonts-noto-core, fonts-noto-cjk"
    )


@cache
def _warn_of_direction() -> None:
    MMLogger.get_current_instance().warning(
        'Pillow finds no FriBiDi: in pictures, Arabic and Hebrew run from left to right, and letters do not join. '
        "Install the library, e.g. Debian's libfribidi0"
    )


# Files of fonts

_file_of: dict[str, str | None] = {}
"""The first file that has all of a cluster's letters; None: no file has. Of all clusters looked up so far."""


def _look_up(wanted: set[str]) -> None:
    """All at once, as each may mean opening every font of the machine."""
    missing = wanted - _file_of.keys()
    if not missing:
        return
    for path in _files():
        found = _having(path, missing)
        _file_of.update(dict.fromkeys(found, path))
        missing -= found
        if not missing:
            return
    _file_of.update(dict.fromkeys(missing))


def _having(path: str, wanted: set[str]) -> set[str]:
    """Those of which a font has all letters."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):  # somebody's broken file, or pictures of one size only
        return set()
    return {c for c in wanted if all(letter in JOINERS or font.get_char_index(ord(letter)) for letter in c)}


@lru_cache(maxsize=1)
def _files() -> tuple[str, ...]:
    """DejaVu Sans, then the system's: Noto's for Chinese, Japanese and Korean, plain styles and others."""
    from matplotlib import font_manager

    def rank(path: str) -> tuple:
        name = Path(path).stem
        # a font that varies opens in its first style, often the thinnest; choosing another may crash in Pillow 12.3
        special = re.search('Bold|Italic|Oblique|Thin|Light|Black|Condensed|wght|Variable|VF', name)
        return special is not None, 'CJK' not in name, path

    system = (path for path in font_manager.findSystemFonts() if 'LastResort' not in path)  # has boxes for all letters
    return font_manager.findfont('DejaVu Sans'), *sorted(system, key=rank)
