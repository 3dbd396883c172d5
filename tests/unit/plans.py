"""A plan to start from in tests."""

from typing import Any

from paytrain.job import Job
from paytrain.plan import Plan, Prepared, Source

SOURCE = Source(uri="s3://artifacts/data.npz", etag="0", rows=1000)


def prepared(**changes: Any) -> Prepared:
    """A small model and 1,000 samples."""
    usual = Prepared(
        model=SOURCE,
        train=(SOURCE,),
        validation=(),
        parameters=1000,
        own_elements=0,
        has_own_state=False,
        metric_elements=3,
        samples=1000,
        validation_samples=0,
        variable_type="float32",
        step_seconds=0.1,
        save_seconds=0.5,
        seconds=6.0,
    )
    return usual.model_copy(update=changes)


def plan(**changes: Any) -> Plan:
    """Three workers with 2 GB each, 30 steps, three attempts a lap."""
    usual = Plan(
        run_id="run",
        job=Job(),
        workers=3,
        channel="memcached",
        pattern="all_gather",
        wire="float32",
        memory_mb=2048,
        segments=1,
        item_bytes=1024,
        peer_timeout_seconds=30,
        gang_timeout_seconds=120,
        max_attempts=3,
        checkpoint_every=10,
        steps_per_epoch=10,
        total_steps=30,
        cache_endpoint="",
        function="inside",
        single_function="outside",
        prepared=prepared(),
    )
    return usual.model_copy(update=changes)
