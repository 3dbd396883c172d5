"""The same job elsewhere: one EC2 instance or SageMaker training job, by the same model of a step. Estimates."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from paytrain import facts
from paytrain.planner import compute
from paytrain.planner.question import JobFacts
from paytrain.planner.span import Span

_VCPUS = {"m7g.large": 2, "c7i.2xlarge": 8}
_USUAL_VCPUS = 4
"""Of the ``xlarge`` sizes."""
_GPU_SPEED = {"g4dn.xlarge": 10.0, "g5.xlarge": 20.0, "g6.xlarge": 20.0, "p3.2xlarge": 20.0}
"""Steps per second by those of one vCPU: an assumption, right for dense layers and convolutions to a factor of three;
small models gain less, since every kernel has to be launched."""
_GPU_RANGE = 0.33, 3.0
_CPU_RANGE = 0.7, 1.4
_START_SECONDS = {"EC2": Span(60, 120, 240), "SageMaker": Span(120, 210, 480)}
"""Until the first step: instance, image of a training container, imports; an assumption of the usual minutes."""
_BILLED_AT_LEAST_SECONDS = 60
"""Of an EC2 instance on Linux (Amazon EC2 On-Demand pricing)."""


@dataclass(frozen=True)
class Alternative:
    """One instance that trains the job alone, with the global batch of one worker.

    Attributes
    ----------
    service, instance
        ``EC2`` or ``SageMaker``, and the type.
    start_seconds, train_seconds
        Until the first step; all epochs.
    usd
        On demand, list price.
    """

    service: str
    instance: str
    start_seconds: Span
    train_seconds: Span
    usd: Span

    @property
    def seconds(self) -> Span:
        """From start to end."""
        return self.start_seconds + self.train_seconds

    @property
    def name(self) -> str:
        """As a person says it."""
        return f"{self.service} {self.instance}"


def alternatives(job: JobFacts) -> Iterator[Alternative]:
    """All instances of the price list."""
    prices = facts.read("prices")
    for service, key in (("EC2", "ec2_on_demand_hour"), ("SageMaker", "sagemaker_training_hour")):
        for instance, per_hour in prices[key].items():
            if isinstance(per_hour, float) and "." in instance:
                yield _of(job, service, instance, per_hour)


def _of(job: JobFacts, service: str, instance: str, usd_per_hour: float) -> Alternative:
    size = instance.removeprefix("ml.")
    step = job.step_seconds / compute.slowdown(compute.vcpus(job.step_memory_mb))
    if size in _GPU_SPEED:
        step, (less, more) = step / _GPU_SPEED[size], _GPU_RANGE
    else:
        step, (less, more) = step * compute.slowdown(_cores(size)), _CPU_RANGE
    steps = job.epochs * math.ceil(job.samples / job.batch_size)
    validation = job.epochs * math.ceil(job.validation_samples / job.batch_size) / 3
    train = Span.about((steps + validation) * step, less=less, more=more)
    start = _START_SECONDS[service]
    total = start + train
    billed = Span(*(max(each, _BILLED_AT_LEAST_SECONDS) for each in (total.low, total.expected, total.high)))
    return Alternative(service, instance, start, train, billed * (usd_per_hour / 3600))


def _cores(size: str) -> float:
    """A vCPU of an instance is a thread, and so is one of Lambda."""
    return float(_VCPUS.get(size, _USUAL_VCPUS))
