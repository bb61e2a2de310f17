"""The architectures, one file each, behind one contract."""
