"""The report of a build: ``python -m mmpr.report OUT`` makes ``OUT/report/index.html`` and ``report.json``.

    shards ─▶ tally (all rows, bounded memory) ─▶ flow, distributions, findings ─┐
           ─▶ sample (seeded) ─▶ gallery, audit ─────────────────────────────────┼─▶ Report ─▶ page, report.json
           ─▶ hashes ─▶ contamination ───────────────────────────────────────────┘

``mmpr.report.nouns`` says what a Report holds; ``mmpr.report.page.write_page(report, folder)`` shows it.
"""
