"""Builds under torture: faults at random moments on a real multi-node Ray cluster, and a proof that nothing is lost."""
