"""What a build does, without saying where it runs.

plan ─▶ what is asked, cut into units;   work ─▶ what is left of it;   growth ─▶ what a recipe has more by now
stages ─▶ ingest, sample, complete, verify, pair: each a function of one unit
          judging ─▶ verdicts;   pairing, choosing, dropout ─▶ pairs;   progress ─▶ what a person sees
"""
