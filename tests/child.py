"""Python processes that the tests start."""
import os
import subprocess
import sys
from pathlib import Path

import fastconv

ROOT = Path(fastconv.__file__).parents[1]


def python(code: str, timeout: float = 30, **environment: str) -> subprocess.CompletedProcess:
    """Run code in a new process that imports this same fastconv; a hang is an exception."""
    return subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], cwd=ROOT, timeout=timeout, text=True,
                          capture_output=True, env=os.environ | environment)
