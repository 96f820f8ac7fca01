"""A scope of ours below each registry of mmseg, all empty: our modules are registered in mmseg's.

mmengine gives what it reads from ``_base_ = ['mgfe_ris::...']`` the scope ``mgfe_ris`` and looks for registries of
that scope in ``mgfe_ris.registry``; from there the search goes on to the parents, so that parts of ours, of mmseg
and of whoever registers in mmseg's registries can stand in one config.
"""

import mmseg.registry as mmseg_registry
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import Registry

SCOPE = 'mgfe_ris'

REGISTRIES = {
    # a registry imports its locations on first use, but not its parent's: so ours name both
    name: Registry(parent.name, parent=parent, scope=SCOPE, locations=[SCOPE, *parent._locations])
    for name, parent in vars(mmseg_registry).items()
    if isinstance(parent, Registry)
}

# mmengine resolves 'package::config' only for the packages in this table. It has no other door: importing
# mgfe_ris, which every tool of ours does first, is what opens it
MODULE2PACKAGE[SCOPE] = SCOPE
