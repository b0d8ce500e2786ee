"""Print what a build holds, and check that it is whole: ``python -m mmpr.check OUT [--verify]``."""
