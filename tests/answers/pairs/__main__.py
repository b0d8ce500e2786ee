"""Judge single labelled pairs: python -m tests.answers.pairs ID [ID ...]"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from mmpr.answers import match
from tests.answers.pairs import STATUSES, load


def main(ids: Sequence[str]) -> int:
    """Print each pair and its verdict; the status is 1 when one of them is not judged as it is labelled."""
    pairs = {pair["id"]: pair for pair in load()}
    unknown = [name for name in ids if name not in pairs]
    if unknown or not ids:
        print(f"no such pair: {', '.join(unknown)}" if unknown else __doc__, file=sys.stderr)
        return 2
    wrong = 0
    for pair in map(pairs.__getitem__, ids):
        verdict = match(pair["pred"], pair["gold"], choices=pair.get("choices"), rule=pair.get("rule", "default"))
        right = verdict.status in STATUSES[pair["label"]]
        wrong += not right
        print(json.dumps(pair, ensure_ascii=False))
        print(f"  {'as labelled' if right else 'NOT as labelled'}: {verdict}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
