"""A plan to start from in tests."""

from typing import Any

from paytrain.job import Job
from paytrain.plan import Plan, Prepared, Reserve, Source
from paytrain.run import Spent

SOURCE = Source(uri="s3://artifacts/data.npz", etag="0", rows=1000)
RESERVE = Reserve(
    started=1_000_000.0,
    lap_seconds=10.0,
    lap_usd=0.0002,
    round_usd=0.00001,
    finish_seconds=20.0,
    finish_usd=0.001,
    gang_usd_per_second=0.0001,
    finish_usd_per_second=0.00003,
    cache_usd_per_second=0.00001,
)


def spent(function: str, **changes: Any) -> Spent:
    """A second of a worker's function."""
    usual = Spent(
        function=function, architecture="x86_64", memory_mb=2048, tmp_mb=512, began=0, init_seconds=0, seconds=1
    )
    return usual.model_copy(update=changes)


def prepared(**changes: Any) -> Prepared:
    """A small model and 1,000 samples."""
    usual = Prepared(
        model=SOURCE,
        sample=SOURCE,
        train=(SOURCE,),
        validation=(),
        parameters=1000,
        state_elements=3000,
        own_elements=0,
        has_own_state=False,
        metric_elements=3,
        exact_wire="float32",
        model_bytes=4000,
        optimizer_bytes=8000,
        data_bytes=800_000,
        memory_mb=1769,
        vcpus=1,
        samples=1000,
        validation_samples=0,
        is_larger_better=False,
        step_seconds=0.1,
        save_seconds=0.5,
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
        sync_every=1,
        memory_mb=2048,
        segments=1,
        window=2,
        item_bytes=1024,
        peer_timeout_seconds=30,
        gang_timeout_seconds=120,
        max_attempts=3,
        checkpoint_every=10,
        steps_per_epoch=10,
        total_steps=30,
        cache_mode="provisioned",
        cache_id="",
        cache_endpoint="",
        cache_node_type="cache.t4g.micro",
        cache_nodes=1,
        notifies=False,
        function="inside",
        single_function="outside",
        prepared=prepared(),
        reserve=RESERVE,
    )
    return usual.model_copy(update=changes)
