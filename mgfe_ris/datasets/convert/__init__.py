"""Annotations as labelling tools write them -> our JSON lines."""

from collections.abc import Callable, Iterator

from .coco import read_coco
from .cvat import read_cvat
from .labelme import read_labelme
from .objects import Object, Photos
from .writer import Summary, counted, write_lines
from .yolo import read_yolo

FORMS: dict[str, Callable[..., Iterator[Object]]] = {
    'labelme': read_labelme,
    'cvat': read_cvat,
    'yolo': read_yolo,
    'coco': read_coco,
}
"""Reader by the name of the form: ``(source, photos, skipped, sentence_from) -> objects``."""

__all__ = ['FORMS', 'Object', 'Photos', 'Summary', 'counted', 'write_lines']
