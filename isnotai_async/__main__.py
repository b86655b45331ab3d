"""``python -m isnotai_async``, the same as ``isnotai``."""

import sys

from isnotai_async._cli import main

sys.exit(main())
