# Table 6, row 4: LAVT's language gate in the place of MGFE and DW. The numbers are those of the baseline, so its cross
# entropy and what its decoder reads are here, too; section 4.4.2 says "same training strategy", and with CombineLoss
# this would be table3_3.
_base_ = './table3_1_baseline.py'

published = {
    '_delete_': True,
    'refcoco': {'P@0.5': 84.46, 'P@0.7': 75.28, 'P@0.9': 34.30, 'mIoU': 74.46, 'oIoU': 72.73},
}
