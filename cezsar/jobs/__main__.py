"""`python -m cezsar.jobs FOLDER LOCK`: run the job in FOLDER, holding its lock, an inherited descriptor."""

import sys
from pathlib import Path

from cezsar.jobs.runner import Runner

Runner(Path(sys.argv[1]), int(sys.argv[2])).run()
