"""200 clients fire one key at once over the workers of nginx: one request reaches the upstream."""

from __future__ import annotations

import pytest
from test_burst import (  # noqa: F401
    stage,
    test_one_runs_and_the_others_are_told_that_it_does,
    test_one_runs_and_the_others_wait_for_its_response,
    test_the_running_client_leaves_and_its_operation_is_done_once,
    test_the_worker_is_killed_and_a_waiting_duplicate_runs_again,
)


@pytest.fixture
def target(gateway):
    return gateway


@pytest.fixture
def scenes(gateway):
    return gateway.scenes
