"""VLT: Vision-Language Transformer (Ding et al., ICCV 2021), as LAVT's authors rebuilt it on Swin and BERT."""

from mmseg.registry import MODELS
from vlt_checkpoints import from_vlt, to_vlt
from vlt_head import VLTHead

from mgfe_ris.models.late_fusion import LateFusion

__all__ = ['VLT', 'VLTHead']


@MODELS.register_module()
class VLT(LateFusion):
    """Swin and BERT; the photo makes queries, each of which weighs the words anew, and asks the joined map.

    Arguments as of :class:`mgfe_ris.models.late_fusion.LateFusion`; ``head`` is a :class:`vlt_head.VLTHead`.
    """

    from_official = staticmethod(from_vlt)
    to_official = staticmethod(to_vlt)
