"""What a plan is expected to take and cost: stored with it, and shown beside what it did in the end."""

from paytrain.exchange.simulator.profile import of
from paytrain.job import Job
from paytrain.metering import architecture
from paytrain.plan import Plan, Predicted, Prepared
from paytrain.planner.estimate import Estimator
from paytrain.planner.profile import Measured, origin, over_built_in
from paytrain.planner.question import Cache, Choice, Deployment, JobFacts


def facts_of(job: Job, prepared: Prepared) -> JobFacts:
    """What the planner has to know, as Prepare found it."""
    # A model may have nothing to train.
    parameters = max(1, prepared.parameters)
    return JobFacts(
        parameters=parameters,
        samples=prepared.samples,
        batch_size=job.batch_size,
        epochs=job.epochs,
        step_seconds=prepared.step_seconds,
        step_memory_mb=prepared.memory_mb,
        validation_samples=prepared.validation_samples,
        data_bytes=prepared.data_bytes,
        optimizer_vectors=prepared.state_elements / parameters - 1,
        metrics=prepared.metric_elements,
        save_seconds=prepared.save_seconds,
    )


def predict(plan: Plan, worker_timeout_seconds: float, measured: Measured | None = None) -> Predicted | None:
    """The estimate of a plan; None where no estimate is possible.

    Parameters
    ----------
    measured
        What a calibration has found in this account; what it lacks, or all without one, is as the library ships it.
    """
    cache = None
    if plan.uses_cache:
        cache = Cache(plan.cache_mode, plan.cache_node_type, plan.cache_nodes, plan.item_bytes)
    choice = Choice(plan.channel, plan.pattern, plan.workers, plan.memory_mb, plan.wire, plan.sync_every, cache)
    deployment = Deployment(worker_timeout_seconds=worker_timeout_seconds, architecture=architecture())
    estimate = Estimator(facts_of(plan.job, plan.prepared), deployment, of(over_built_in(measured))).estimate(choice)
    if isinstance(estimate, str):
        return None
    return Predicted(seconds=estimate.seconds.as_dict(), usd=estimate.usd.as_dict(), profile=origin(measured))
