"""Letters of any script: in a font that has them, or spelled out."""

import random
import sys
import unicodedata
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, features

from mgfe_ris.visualization import caption, fonts
from mgfe_ris.visualization.fonts import Lettering, clusters

SIZE = 20
raqm = pytest.mark.skipif(not features.check('raqm'), reason='Pillow finds no FriBiDi')


def box(width: int, height: int):
    """A glyph, in 1000ths of the size."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, height), (width, height), (width, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


def make_font(name: str, letters: dict[str, tuple[int, int]]) -> TTFont:
    """Its letters are filled boxes of a width and a height."""
    builder = FontBuilder(1000, isTTF=True)
    glyphs = {'.notdef': box(1000, 1)} | {f'u{ord(letter):X}': box(*shape) for letter, shape in letters.items()}
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord(letter): f'u{ord(letter):X}' for letter in letters})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics({name: (1000, 0) for name in glyphs})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable(dict(familyName=name, styleName='Regular'))
    builder.setupOS2(sTypoAscender=1000, usWinAscent=1000)
    builder.setupPost()
    return builder.font


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where this machine's fonts lie: as yet there is none but Pillow's and matplotlib's."""
    monkeypatch.setattr(
        font_manager, 'findSystemFonts', partial(font_manager.findSystemFonts, fontpaths=[str(tmp_path)])
    )
    caches = (fonts._files, fonts._warn_of_script, fonts._warn_of_direction)
    known = dict(fonts._file_of)
    for cache in (*caches, fonts._file_of):
        getattr(cache, 'cache_clear', getattr(cache, 'clear', None))()
    yield tmp_path
    for cache in (*caches, fonts._file_of):
        getattr(cache, 'cache_clear', getattr(cache, 'clear', None))()
    fonts._file_of.update(known)


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    said: list[str] = []
    logger = SimpleNamespace(get_current_instance=lambda: SimpleNamespace(warning=said.append))
    monkeypatch.setattr(fonts, 'MMLogger', logger)
    return said


def families(text: str) -> list[tuple[str, str]]:
    lettering = Lettering(text, SIZE)
    return [(piece, font.getname()[0]) for piece, font in lettering._pieces(lettering.text)]


def drawn(text: str, width: int = 300) -> np.ndarray:
    """(30, width): how dark a line is at each place; it begins at 50, its baseline is 24."""
    image = Image.new('RGB', (width, 30), 'white')
    lettering = Lettering(text, SIZE)
    lettering.draw(ImageDraw.Draw(image), 50, 24, lettering.text)
    return 255 - np.asarray(image)[..., 0].astype(int)


# Found


def test_ascii_needs_no_other_font_and_no_other_package(folder, monkeypatch):
    for package in ('matplotlib', 'matplotlib.ft2font', 'matplotlib.font_manager', 'fontTools'):
        monkeypatch.setitem(sys.modules, package, None)  # importing it would raise
    assert families('left dog, "the 2nd" (50 %)') == [('left dog, "the 2nd" (50 %)', 'Aileron')]
    assert families('bell\x07\x00') == [(r'bell\x07\x00', 'Aileron')]
    with pytest.raises(ImportError):
        Lettering('naïve', SIZE)


@pytest.mark.parametrize('text', ['café, naïve', 'con chó màu đỏ', 'красная собака', 'η γάτα', '“dog”… ½', 'a ☺'])
def test_what_dejavu_has_is_drawn_in_it_alone(folder, text):
    assert families(text) == [(text, 'DejaVu Sans')]


@pytest.mark.parametrize('form', ['ttf', 'ttc'])
def test_chinese_is_drawn_in_the_font_that_has_it(folder, form, warnings):
    font = make_font('Boxes', {'红': (1000, 500), '狗': (500, 900)})
    if form == 'ttc':
        collection = TTCollection()
        collection.fonts = [font, make_font('Other', {'左': (10, 10)})]
        collection.save(folder / 'boxes.ttc')
    else:
        font.save(folder / 'boxes.ttf')
    dark = drawn('红狗') > 128
    expected = np.zeros_like(dark)
    expected[14:24, 50:70] = True
    expected[6:24, 70:80] = True
    np.testing.assert_array_equal(dark, expected)
    behind = (drawn('é红') > 128).nonzero()[1].max() + 1  # one font behind another
    assert behind == pytest.approx(50 + Lettering('é', SIZE).length('é') + SIZE, abs=1)
    assert families('left 红狗 dog, 狗!') == [
        ('left ', 'DejaVu Sans'),
        ('红狗 ', 'Boxes'),
        ('dog, ', 'DejaVu Sans'),
        ('狗', 'Boxes'),
        ('!', 'DejaVu Sans'),
    ]
    whole, parts = Lettering('a红b', SIZE), [Lettering(letter, SIZE) for letter in ('aé', 'bé')]
    lengths = [part.length(part.text[0]) for part in parts]
    assert whole.length('a红b') == pytest.approx(sum(lengths) + SIZE)
    assert not warnings


def test_one_sentence_may_need_several_fonts(folder, warnings):
    make_font('Han', {'红': (900, 900)}).save(folder / 'a.ttf')
    make_font('Kana', {'い': (900, 900)}).save(folder / 'b.ttf')
    assert families('红い犬') == [('红', 'Han'), ('い', 'Kana'), (r'\u72ac', 'DejaVu Sans')]
    assert len(warnings) == 1 and 'letters of CJK' in warnings[0]


def test_plain_styles_come_first(folder):
    names = ['NotoSansCJK-Regular', 'B-Regular', 'NotoSansCJK-Bold', 'NotoSansCJKsc-VF', 'A-LightItalic', 'C[wght]']
    for name in (*names, 'LastResort'):
        make_font(name, {'红': (900, 900)}).save(folder / f'{name}.ttf')
    for name in names:
        fonts._files.cache_clear()
        fonts._file_of.clear()
        assert families('红') == [('红', name)]
        (folder / f'{name}.ttf').unlink()
    fonts._files.cache_clear()
    fonts._file_of.clear()
    assert families('红') == [(r'\u7ea2', 'Aileron')], 'the last resort has a box for every letter'


def test_broken_files_are_passed_over(folder, warnings):
    (folder / 'a.ttf').write_bytes(b'')
    (folder / 'b.ttf').write_bytes(b'\0\1\0\0' + bytes(range(200)))
    make_font('Boxes', {'红': (900, 900)}).save(folder / 'c.ttf')
    whole = (folder / 'c.ttf').read_bytes()
    (folder / 'b2.otf').write_bytes(whole[: len(whole) // 3])
    (folder / 'b3.ttf').symlink_to(folder / 'nowhere.ttf')
    assert families('红') == [('红', 'Boxes')] and not warnings


# Not found


def test_what_no_font_has_is_spelled_by_code_points(folder, warnings):
    make_font('Boxes', {'红': (900, 900)}).save(folder / 'a.ttf')
    assert Lettering('the 狗 in 红', SIZE).text == r'the \u72d7 in 红'
    assert Lettering('\U0001f468', SIZE).text == r'\U0001f468'
    for text in ('猫', '左边的狗', '\U0001f469', 'the 马'):
        Lettering(text, SIZE)
    assert len(warnings) == 2, 'once a script'
    assert 'letters of CJK' in warnings[0] and 'fonts-noto-cjk' in warnings[0] and 'symbols' in warnings[1]
    assert families('狗') == [(r'\u72d7', 'Aileron')]
    assert (drawn('狗') == drawn(r'\u72d7')).all() and drawn('狗').any()


def test_control_characters_are_spelled_without_advice_to_install(folder, warnings):
    assert Lettering('é\x07 \x1b[0m \ud800 \ue000 \u0378', SIZE).text == r'é\x07 \x1b[0m \ud800 \ue000 \u0378'
    assert not warnings


def test_what_cannot_be_seen_is_left_out(folder, warnings):
    assert Lettering('soft\u00ad \u200emark\ufeff ❤\ufe0f', SIZE).text == 'soft mark ❤'
    assert Lettering('cafe\u0301', SIZE).text == 'café'
    assert not warnings


def test_a_mark_without_a_font_leaves_its_letter(folder, warnings):
    make_font('Boxes', {'红': (900, 900)}).save(folder / 'a.ttf')
    assert Lettering('红\u0301 é', SIZE).text == r'红\u0301 é'
    assert families('q\u0302\u0323 é') == [('q\u0323\u0302 é', 'DejaVu Sans')]


# Shapes


@raqm
def test_a_font_need_not_have_what_joins(folder):
    make_font('Boxes', {'红': (900, 900), '狗': (900, 900)}).save(folder / 'a.ttf')
    assert families('红\u200d狗') == [('红\u200d狗', 'Boxes')]


@raqm
def test_arabic_letters_join():
    lettering = Lettering('ببب', SIZE)
    assert lettering.length('ببب') < 0.8 * 3 * lettering.length('ب')


@raqm
def test_hebrew_runs_from_right_to_left(folder, warnings):
    one, line = drawn('א'), drawn('אוו')
    end = round(Lettering('אוו', SIZE).length('אוו') - Lettering('א', SIZE).length('א'))
    shifted = np.roll(one, end, axis=1)
    assert np.abs(line - shifted)[:, 50 + end :].mean() < 0.2 * shifted[:, 50 + end :].mean()
    assert not warnings


def test_without_fribidi_a_warning_says_what_is_wrong(folder, warnings, monkeypatch):
    monkeypatch.setattr(fonts, 'features', SimpleNamespace(check=lambda feature: False))
    Lettering('the dog', SIZE), Lettering('café 狗', SIZE)
    assert len(warnings) == 1 and 'CJK' in warnings[0]
    Lettering('הכלב', SIZE), Lettering('the الكلب', SIZE)
    assert len(warnings) == 2 and 'libfribidi0' in warnings[1]
    assert Lettering('م\u200cم', SIZE).text == 'مم', 'it would be a box'


def test_letters_keep_their_marks():
    assert list(clusters('aq\u0302\u0323b\u200d\u0301 ')) == ['a', 'q\u0302\u0323', 'b\u200d\u0301', ' ']
    assert list(clusters('\u0301a')) == ['\u0301', 'a'] and list(clusters('')) == []


# Any text


def any_text(rng: random.Random) -> str:
    """With letters, marks, halves of letters, controls."""
    blocks = ((0x20, 0x7F), (0, 0x250), (0x300, 0x370), (0x590, 0x700), (0x900, 0xE80), (0x2000, 0x2C00))
    blocks += ((0x4E00, 0x4E20), (0xD700, 0xE010), (0xFE00, 0xFE10), (0x1F300, 0x1FAFF), (0, 0x110000))
    return ''.join(chr(rng.randrange(*rng.choice(blocks))) for _ in range(rng.randrange(1, 30)))


@pytest.mark.parametrize('width', [40, 300])
def test_every_letter_is_in_the_font_that_it_is_drawn_with(folder, width):
    make_font('Boxes', {chr(0x4E00 + i): (900, 900) for i in range(16)} | {'\u0301': (9, 9)}).save(folder / 'a.ttf')
    rng = random.Random(0)
    opened = {}
    for _ in range(150):
        text = any_text(rng)
        assert caption(np.zeros((4, width, 3), np.uint8), text).shape[1] == width, ascii(text)
        lettering = Lettering(text, SIZE)
        for line in lettering.text.split('\n'):
            pieces = list(lettering._pieces(line))
            assert ''.join(piece for piece, _ in pieces) == line
            for piece, font in pieces:
                if isinstance(font.path, str):
                    file = opened.setdefault(font.path, FT2Font(font.path))
                    shown = [c for c in piece if not c.isspace() and c not in fonts.JOINERS]
                    assert all(file.get_char_index(ord(c)) for c in shown), ascii(text)
                else:
                    assert piece.isascii() and all(c.isprintable() or c.isspace() for c in piece), ascii(text)
        assert not any(unicodedata.category(c) == 'Cs' for c in lettering.text)
