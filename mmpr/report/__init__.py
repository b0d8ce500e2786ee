"""The report of a build or a release: ``python -m mmpr.report DATA`` writes ``index.html`` and ``report.json``.

load/      a build's shards, or MMPR's meta.json ─▶ units: text columns, fingerprints of pictures
measure/   units ─▶ statistics (all rows, bounded memory) ─▶ flow, distributions, findings; contamination
show/      a seeded sample ─▶ gallery and audit; the page
make.py    all of it, from a path to a Report (``contents.py``) and its files
"""
