"""A build does not wait for ever for cores: not for those that engines keep, nor for those of a dead driver."""

from __future__ import annotations

import subprocess
import sys

import pytest
import ray

from mmpr.cluster import STAGE_CPUS, _cause, actor_pool
from mmpr.config import EngineSpec
from mmpr.errors import EngineError


@pytest.mark.parametrize(
    ("has", "spec", "words"),
    [
        pytest.param({"CPU": 2}, {"actors": 1, "cpus_per_actor": 1}, "", id="fits"),
        pytest.param({"CPU": 2}, {"actors": 1, "cpus_per_actor": 2 - STAGE_CPUS}, "", id="fits-just"),
        pytest.param({"CPU": 2}, {"actors": 2, "cpus_per_actor": 1}, "the other stages 0.25", id="no-core-for-stages"),
        pytest.param({"CPU": 2}, {"actors": 3, "cpus_per_actor": 1}, "3 engines want 1 each", id="too-many"),
        pytest.param({"CPU": 8, "GPU": 2}, {"actors": 2}, "", id="gpus-fit"),
        pytest.param({"CPU": 8, "GPU": 2}, {"actors": 2, "tensor_parallel_size": 2}, "has 2 GPUs", id="too-few-gpus"),
    ],
)
def test_engines_that_leave_no_room_are_refused(
    has: dict[str, float], spec: dict[str, float], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "cluster_resources", lambda: has)
    pool = EngineSpec.model_validate(spec)
    if not words:
        assert actor_pool(pool)
        return
    with pytest.raises(EngineError, match=words):
        actor_pool(pool)


def test_the_claim_of_a_dead_driver_lapses_soon() -> None:
    """Ray Data reads the time when it is imported; in this process something else may have done that."""
    claims = "ray.data._internal.cluster_autoscaler.rate_based_cluster_autoscaler"
    show = f"import mmpr.cluster, {claims} as c; print(c.RateBasedClusterAutoscaler.AUTOSCALING_REQUEST_EXPIRE_TIME_S)"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split()[-1] == "30"


def test_what_a_worker_raised_is_told_not_what_ray_advises() -> None:
    said = """ray::Map(Generate)() (pid=1, ip=10.0.0.1)
  File "x.py", line 1, in _start
    raise ValueError("shown as code")
PermissionError: [Errno 1] Operation not permitted: 'OUT/attempts/x.log'
The above exception was the direct cause of the following exception:
ray.exceptions.UserCodeException: Failed to process the following data block: ...
'To change retry attempts, backoff, or which errors are retried, configure `ray.data.DataContext.get_current()`.'"""
    assert _cause(said) == "PermissionError: [Errno 1] Operation not permitted: 'OUT/attempts/x.log'"
    assert _cause("nothing of the kind") == "nothing of the kind"
