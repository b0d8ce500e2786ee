"""``python -m mmpr COMMAND ...``: the command ``mmpr``, where the console script is not on the path."""

import sys

from mmpr.cli import main

if __name__ == "__main__":
    sys.exit(main())
