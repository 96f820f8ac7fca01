"""RefShapes: drawn scenes with unambiguous sentences, to try things out in minutes."""

from .expressions import FLAVOURS, VOCABULARY, parse, resolve, speak
from .groups import GENERALIZED, GROUP_WORDS, resolve_targets, speak_of_targets
from .scenes import Scene, SceneObject, sample_scene
from .writer import write_refshapes

__all__ = [
    'FLAVOURS',
    'GENERALIZED',
    'GROUP_WORDS',
    'VOCABULARY',
    'Scene',
    'SceneObject',
    'parse',
    'resolve',
    'resolve_targets',
    'sample_scene',
    'speak',
    'speak_of_targets',
    'write_refshapes',
]
