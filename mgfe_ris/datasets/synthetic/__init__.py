"""RefShapes: drawn scenes with unambiguous sentences, to try things out in minutes."""

from .expressions import FLAVOURS, VOCABULARY, parse, resolve, speak
from .scenes import Scene, SceneObject, sample_scene
from .writer import write_refshapes

__all__ = [
    'FLAVOURS',
    'VOCABULARY',
    'Scene',
    'SceneObject',
    'parse',
    'resolve',
    'sample_scene',
    'speak',
    'write_refshapes',
]
