"""Annotations in the forms that people have -> records, one per object."""

from .file_names import check_name
from .records import Record, Sentence, cleaned, pack_parts, unpack_parts
from .refer import read_refer, refer_files
from .rows import read_rows

__all__ = [
    'Record',
    'Sentence',
    'check_name',
    'cleaned',
    'pack_parts',
    'read_refer',
    'read_rows',
    'refer_files',
    'unpack_parts',
]
