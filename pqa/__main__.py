"""`python -m pqa` is the command `pqa`."""

import sys

from pqa.cli.main import main

sys.exit(main())
