"""The report of a build or a release: ``python -m mmpr.report DATA`` makes ``index.html`` and ``report.json``.

    a build's shards, or MMPR's meta.json ─▶ units of text columns and pictures (``mmpr.report.inputs``)
    units  ─▶ tally (all rows, bounded memory) ─▶ flow, distributions, findings ─┐
           ─▶ sample (seeded) ─▶ gallery, audit ─────────────────────────────────┼─▶ Report ─▶ page, report.json
           ─▶ hashes ─▶ contamination ───────────────────────────────────────────┘

``mmpr.report.nouns`` says what a Report holds; ``mmpr.report.page.write_page(report, folder)`` shows it.
"""
