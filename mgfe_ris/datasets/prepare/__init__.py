"""Downloads of RefCOCO and its kin, in whatever nesting -> the layout that configs expect; and is it whole?"""

from .report import prepare

__all__ = ['prepare']
