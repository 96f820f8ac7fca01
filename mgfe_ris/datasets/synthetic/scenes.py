"""Scenes: a few lit, partly overlapping shapes on a cluttered background, sampled and drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

COLOURS: dict[str, tuple[int, int, int]] = {
    'red': (212, 30, 38),
    'green': (42, 158, 58),
    'blue': (42, 88, 222),
    'yellow': (244, 222, 48),
    'purple': (146, 48, 184),
    'orange': (246, 134, 22),
    'white': (246, 246, 246),
    'black': (24, 24, 26),
}
TEXTURES: tuple[str, ...] = ('plain', 'striped', 'dotted')

MIN_OBJECTS, MAX_OBJECTS = 2, 5
MIN_RADIUS, MAX_RADIUS = 7 / 64, 15 / 64  # fractions of the image side
MIN_VISIBLE = 0.5  # share of its drawn area that every object keeps
MIN_INSIDE = 0.75  # share of its drawn area that the border may not cut

_SUPERSAMPLE = 4
# above one half, since now and then a twin finds no place
_DISTRACTOR_SHARE = 0.55
_PLACEMENT_TRIES = 20


@dataclass(frozen=True)
class SceneObject:
    """What a sentence may speak about.

    ``x`` and ``y`` are the centroid of the visible region and ``radius`` that of the circle around
    the whole shape, all as fractions of the image side (x grows to the right, y downwards).
    ``visible`` is the share of the drawn area, in (0, 1], that neither another object hides nor the
    border cuts off.
    """

    shape: str
    colour: str
    texture: str
    x: float
    y: float
    radius: float
    visible: float = 1.0


@dataclass(frozen=True)
class Scene:
    """image: (S, S, 3) uint8 RGB; objects: N, in drawing order; masks: (N, S, S) bool, as seen."""

    image: np.ndarray
    objects: tuple[SceneObject, ...]
    masks: np.ndarray

    @property
    def has_distractor(self) -> bool:
        """Whether two of the objects share their shape or their colour."""
        shapes = {thing.shape for thing in self.objects}
        colours = {thing.colour for thing in self.objects}
        return min(len(shapes), len(colours)) < len(self.objects)


@dataclass(frozen=True)
class _Plan:
    """An object before it has a place; radius in pixels, angle in radians."""

    shape: str
    colour: str
    texture: str
    radius: float
    angle: float


def sample_scene(rng: np.random.Generator, size: int) -> Scene:
    """Draw one scene of ``size`` x ``size`` pixels, a function of the state of ``rng`` alone."""
    while True:
        plans = _sample_plans(rng, size)
        covers = [_cover(plan) for plan in plans]
        placed, corners, owner = _place(plans, covers, rng, size)
        if len(placed) >= MIN_OBJECTS:
            break
    plans, covers = [plans[i] for i in placed], [covers[i] for i in placed]
    masks = owner[None] == np.arange(len(plans))[:, None, None]
    objects = [_observe(plan, cover, mask) for plan, cover, mask in zip(plans, covers, masks, strict=True)]
    return Scene(_draw(plans, covers, corners, rng, size), tuple(objects), masks)


# Sampling


def _sample_plans(rng: np.random.Generator, size: int) -> list[_Plan]:
    """In a little more than half of the scenes objects share shape or colour, so that one word does not single
    one out; in the others all differ in both."""
    count = int(rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1))
    shapes = [SHAPES[i] for i in rng.permutation(len(SHAPES))[:count]]
    colours = [list(COLOURS)[i] for i in rng.permutation(len(COLOURS))[:count]]
    radii = list(size * rng.uniform(MIN_RADIUS, MAX_RADIUS, count))
    if rng.random() < _DISTRACTOR_SHARE:
        for i in range(1, count):
            twin = int(rng.integers(i))
            if i == 1 or rng.random() < 0.6:
                shapes[i] = shapes[twin]
                if rng.random() < 0.7:
                    # mirrored in the range: still uniform, but often clearly bigger or smaller
                    radii[i] = size * (MIN_RADIUS + MAX_RADIUS) - radii[twin]
            if rng.random() < 0.25:
                colours[i] = colours[int(rng.integers(i))]
    textures = [TEXTURES[i] for i in rng.integers(len(TEXTURES), size=count)]
    angles = rng.uniform(0, 2 * math.pi, count)
    return [_Plan(*plan) for plan in zip(shapes, colours, textures, radii, angles, strict=True)]


def _place(
    plans: list[_Plan], covers: list[np.ndarray], rng: np.random.Generator, size: int
) -> tuple[list[int], list[tuple[int, int]], np.ndarray]:
    """Put one object over the other at random places where all of them stay visible enough.

    Objects of one colour and texture do not touch: no one could tell where the one ends and the
    other begins. Returns the indices of the objects that found a place, their patches' top left
    corners (y, x), and the map (S, S) of the object (its position among those placed) that is seen
    at each pixel, -1 for the background.
    """
    owner = np.full((size, size), -1)
    placed: list[int] = []
    corners: list[tuple[int, int]] = []
    least: list[float] = []
    for index, (plan, cover) in enumerate(zip(plans, covers, strict=True)):
        alike = [k for k, i in enumerate(placed) if (plans[i].colour, plans[i].texture) == (plan.colour, plan.texture)]
        solid = cover >= 0.5
        full, side = int(solid.sum()), len(cover)
        for _ in range(_PLACEMENT_TRIES):
            top, left = (int(v) for v in rng.integers(-side // 5, size - side + side // 5 + 1, 2))
            window, patch = _overlap(top, left, side, size)
            if solid[patch].sum() < MIN_INSIDE * full:
                continue
            if np.isin(owner[window][solid[patch]], alike).any():
                continue
            trial = owner.copy()
            trial[window][solid[patch]] = len(placed)
            seen = np.bincount(trial.ravel() + 1, minlength=len(placed) + 2)[1:]
            if np.all(seen[:-1] >= least):
                owner = trial
                placed.append(index)
                corners.append((top, left))
                least.append(MIN_VISIBLE * full)
                break
    return placed, corners, owner


def _overlap(top: int, left: int, side: int, size: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """What a patch covers of the image, and what of the patch lies in the image."""
    bottom, right = min(top + side, size), min(left + side, size)
    y, x = max(top, 0), max(left, 0)
    window = slice(y, bottom), slice(x, right)
    patch = slice(y - top, bottom - top), slice(x - left, right - left)
    return window, patch


def _observe(plan: _Plan, cover: np.ndarray, mask: np.ndarray) -> SceneObject:
    size = len(mask)
    rows, columns = np.nonzero(mask)
    return SceneObject(
        shape=plan.shape,
        colour=plan.colour,
        texture=plan.texture,
        x=float(columns.mean() + 0.5) / size,
        y=float(rows.mean() + 0.5) / size,
        radius=plan.radius / size,
        visible=len(rows) / int((cover >= 0.5).sum()),
    )


# Drawing


def _draw(
    plans: list[_Plan],
    covers: list[np.ndarray],
    corners: list[tuple[int, int]],
    rng: np.random.Generator,
    size: int,
) -> np.ndarray:
    """Background, then each object's shadow and body in turn, then grain over everything."""
    canvas = _background(rng, size)
    light = rng.uniform(0, 2 * math.pi)
    away = (
        math.cos(light),
        math.sin(light),
    )  # unit vector (x, y) from the light, the same for all objects
    for plan, cover, (top, left) in zip(plans, covers, corners, strict=True):
        _cast_shadow(canvas, cover, top, left, away)
        window, patch = _overlap(top, left, len(cover), size)
        alpha = cover[patch][..., None]
        # A darker rim parts an object from one of the same colour behind it.
        width = max(1, round(size / 64))
        rim = cover - cv2.erode(cover, np.ones((3, 3), np.uint8), iterations=width)
        surface = _surface(plan, len(cover), away, rng) * (1 - 0.3 * rim[..., None])
        canvas[window] += alpha * (surface[patch] - canvas[window])
    canvas += rng.normal(0, 4, canvas.shape)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """(S, S, 3) float32 of middle brightness and little colour: objects of any colour stand out."""
    tone = rng.uniform(105, 155) + rng.uniform(-12, 12, 3)
    canvas = np.tile(tone.astype(np.float32), (size, size, 1))
    for cells, strength in ((3, 16), (8, 9)):
        noise = rng.normal(0, strength, (cells, cells, 1)) + rng.normal(0, strength / 3, (cells, cells, 3))
        canvas += cv2.resize(noise.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    canvas += (rng.uniform(-18, 18) * ramp[:, None] + rng.uniform(-18, 18) * ramp)[..., None]

    # Faint, colourless clutter, long lines and broad blobs, in one layer of brightness changes.
    clutter = np.zeros((size, size), np.float32)
    for _ in range(rng.integers(2, 6)):
        start, end = rng.integers(0, size, (2, 2))
        width = max(1, round(size * rng.uniform(0.01, 0.04)))
        cv2.line(
            clutter,
            tuple(map(int, start)),
            tuple(map(int, end)),
            rng.uniform(-22, 22),
            width,
            cv2.LINE_AA,
        )
    for _ in range(rng.integers(1, 5)):
        centre = tuple(int(v) for v in rng.integers(0, size, 2))
        axes = tuple(int(v) for v in np.ceil(size * rng.uniform(0.05, 0.25, 2)))
        cv2.ellipse(clutter, centre, axes, rng.uniform(0, 180), 0, 360, rng.uniform(-16, 16), -1)
    blurred = cv2.GaussianBlur(clutter, (0, 0), size / 64)
    return np.clip(canvas + blurred[..., None], 60, 200)


def _cast_shadow(canvas: np.ndarray, cover: np.ndarray, top: int, left: int, away: tuple[float, float]) -> None:
    """Darken the canvas, in place, beside the object on the side that the light does not reach."""
    side, size = len(cover), len(canvas)
    reach = max(1, round(0.08 * side))
    soft = cv2.GaussianBlur(np.pad(cover, 2 * reach), (0, 0), 0.6 * reach)
    top += round(reach * away[1]) - 2 * reach
    left += round(reach * away[0]) - 2 * reach
    window, patch = _overlap(top, left, len(soft), size)
    canvas[window] *= 1 - 0.45 * soft[patch][..., None]


def _surface(plan: _Plan, side: int, away: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """(side, side, 3) float32: colour, texture and shading of the square patch around an object."""
    span = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / np.float32(plan.radius)
    x, y = span[None, :], span[:, None]
    base = np.array(COLOURS[plan.colour], np.float32) + rng.uniform(-12, 12, 3).astype(np.float32)
    # The second tone keeps the hue: with white stripes, "red" and "white" would both be true.
    dark = base.mean() < 60
    tone = base + 0.6 * (255 - base) if dark else 0.4 * base
    pattern = _texture(plan, x, y, rng.uniform(0, math.pi))
    surface = base + pattern[..., None] * (tone - base)
    shade = 1 - 0.16 * (x * away[0] + y * away[1])
    return np.clip(surface * shade[..., None], 0, 255).astype(np.float32)


def _texture(plan: _Plan, x: np.ndarray, y: np.ndarray, angle: float) -> np.ndarray:
    """(side, side) in [0, 1]: how much of the second tone shows; x and y in units of the radius."""
    cos, sin = math.cos(angle), math.sin(angle)
    u, v = x * cos + y * sin, y * cos - x * sin
    if plan.texture == 'striped':
        wave = np.sin(2 * math.pi * u / 0.6)
    elif plan.texture == 'dotted':
        wave = np.cos(2 * math.pi * u / 0.58) + np.cos(2 * math.pi * v / 0.58) - 0.6
    else:
        return np.zeros_like(u)
    return 0.5 + 0.5 * np.tanh(3 * wave)  # tanh: crisp but antialiased edges at any resolution


# Shapes


def _cover(plan: _Plan) -> np.ndarray:
    """(side, side) float32 in [0, 1]: the share of each pixel that the shape, centred, covers."""
    side = 2 * math.ceil(plan.radius) + 3
    cos, sin = math.cos(plan.angle), math.sin(plan.angle)
    turn = np.array([[cos, sin], [-sin, cos]]) * plan.radius
    contours = [(points @ turn + side / 2) * _SUPERSAMPLE - 0.5 for points in _OUTLINES[plan.shape]]
    fine = np.zeros((side * _SUPERSAMPLE,) * 2, np.float32)
    # fillPoly fills by the even-odd rule: a contour within a contour is a hole.
    cv2.fillPoly(fine, [np.rint(points).astype(np.int32) for points in contours], 1.0)
    return cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA)


def _arc(radius: float, start: float, end: float, centre: float = 0.0) -> np.ndarray:
    """(33, 2) points on a circle around (centre, 0); angles in degrees."""
    angles = np.radians(np.linspace(start, end, 33))
    return np.stack([centre + radius * np.cos(angles), radius * np.sin(angles)], 1)


def _spokes(radii: tuple[float, ...], count: int) -> np.ndarray:
    """(count * len(radii), 2): corners at equal angles, ``radii`` from the centre in turn."""
    distance = np.tile(radii, count)
    angles = np.linspace(0, 2 * math.pi, len(distance), endpoint=False)
    return np.stack([distance * np.cos(angles), distance * np.sin(angles)], 1)


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * math.pi, 49)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y - 2], 1) / 16.5


def _cross(arm: float) -> np.ndarray:
    """A plus sign whose arms are 2 ``arm`` wide, in the circle of radius 1."""
    end = math.sqrt(1 - arm * arm)
    quarter = np.array([(end, -arm), (end, arm), (arm, arm)])
    turns = [np.array([[0, 1], [-1, 0]]), -np.eye(2), np.array([[0, -1], [1, 0]])]
    return np.concatenate([quarter, *(quarter @ turn for turn in turns)])


# Contours (x, y) in the circle of radius 1. A moon is an arc of that circle closed by a flatter
# one.
_OUTLINES: dict[str, list[np.ndarray]] = {
    'circle': [_arc(1, 0, 360)],
    'ring': [_arc(1, 0, 360), _arc(0.52, 0, 360)],
    'square': [_spokes((1,), 4)],
    'triangle': [_spokes((1,), 3)],
    'star': [_spokes((1, 0.45), 5)],
    'cross': [_cross(0.3)],
    'heart': [_heart()],
    'moon': [np.concatenate([_arc(1, 55, 305), _arc(0.84, 283, 77, 0.385)])],
}
SHAPES: tuple[str, ...] = tuple(_OUTLINES)
