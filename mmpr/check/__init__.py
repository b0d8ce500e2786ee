"""What a build holds and whether it is whole: ``python -m mmpr.check OUT [--verify]``."""
