"""Hundreds of pods a minute, each for a second, addresses and ports used again at once: whatever the agent saw is attributed
to the right pod or to nobody, never to another one. TEST_CHURN_SECONDS makes it longer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from api_server_double import api_server_double
from churn_judgement import check_names
from started_agent import RunningAgent

pytestmark = pytest.mark.end_to_end

SECONDS = float(os.environ.get("TEST_CHURN_SECONDS", "12"))


def test_nothing_that_was_seen_is_attributed_to_another_pod(start_agent: Callable[..., RunningAgent], tmp_path: Path) -> None:
    with api_server_double(tmp_path) as cluster:
        agent = start_agent("--kubeconfig", str(cluster.kubeconfig), "--node-name", "node-1", "--flow-history", "200000")
        check_names(agent, cluster, SECONDS)
