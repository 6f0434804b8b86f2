"""`python -m fedspike`: the same as the command `fedspike`."""

import sys

from fedspike.cli import main

sys.exit(main())
