"""`python -m clinical_modernbert` is `cmbert`."""

import sys

from clinical_modernbert.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
