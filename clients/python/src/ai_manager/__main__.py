"""`python -m ai_manager`."""

import sys

from ai_manager.cli import main

sys.exit(main())
