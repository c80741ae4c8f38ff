"""`python -m pullback`: the command line."""

import sys

from pullback.cli import main

sys.exit(main())
