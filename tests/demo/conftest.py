"""Where the demonstrations are."""

import os
import random
import sys
from pathlib import Path

import pytest

PAYOUTS = Path(__file__).resolve().parents[2] / "docs" / "examples" / "payouts"
sys.path.insert(0, str(PAYOUTS))


@pytest.fixture
def seed():
    """Taken from IDEMKEY_SEED to repeat a run."""
    seed = int(os.environ.get("IDEMKEY_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"IDEMKEY_SEED={seed}")
    return seed
