"""`python -m pqa` is the command `pqa`."""

import sys
from pathlib import Path

import pqa
from pqa.cli.main import main

# `-m` puts the working directory first, where a file of the caller's own (training.py) would stand before our packages.
# In a checkout they lie there themselves.
if not sys.flags.safe_path and Path(sys.path[0]).resolve() != Path(pqa.__file__).resolve().parents[1]:
    del sys.path[0]

sys.exit(main())
