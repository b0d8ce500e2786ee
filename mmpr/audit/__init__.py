"""What people say of the judge's verdicts: ``audit.jsonl`` beside a build, and how often the judge is right by it."""
