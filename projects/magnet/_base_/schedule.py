# The defaults of the released arguments, which are LAVT's; whether MagNet was trained with them is not known
_base_ = 'mgfe_ris::_base_/schedules/paper_40e.py'
