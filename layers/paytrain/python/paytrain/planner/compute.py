"""How long a step takes in functions of other sizes, and the slowest of many functions."""

import functools
import math

from paytrain import facts

MB_PER_VCPU: float = facts.read("limits")["lambda"]["mb_per_vcpu"]
MOST_VCPUS = 6.0
"""Of a function with 10,240 MB (AWS Lambda developer guide, "Configure Lambda function memory")."""
PARALLEL = 0.9
"""Share of a step that more processors make faster (G. Amdahl, 1967). An assumption: TensorFlow's matrix kernels use
all cores, its small operations and the optimizer's do not."""
_GFLOPS = facts.read("service_profile")["lambda_compute"]
_ONE_IN_HUNDRED = 2.326
"""Standard deviations of a normal distribution below its mean, of the slowest of a hundred."""
_SPREAD: float = 1 - _GFLOPS["p1_p99"][0] / _GFLOPS["dgemm_fp64_gflops_at_1024mb"]


def vcpus(memory_mb: float) -> float:
    """Processors of a function: a share of one below 1,769 MB."""
    return min(memory_mb / MB_PER_VCPU, MOST_VCPUS)


def slowdown(processors: float) -> float:
    """Seconds of a step by seconds of the same step on one processor."""
    return 1 / processors if processors < 1 else 1 - PARALLEL + PARALLEL / processors


def step_seconds(measured: float, measured_mb: float, memory_mb: float) -> float:
    """A step in a function of another size."""
    return measured * slowdown(vcpus(memory_mb)) / slowdown(vcpus(measured_mb))


@functools.cache
def straggler(workers: int) -> float:
    """The slowest of so many functions, as a factor: their processors differ by a normal distribution.

    Its expectation by G. Blom's approximation (Statistical Estimates and Transformed Beta-Variables, 1958).
    """
    if workers == 1:
        return 1.0
    return 1 + _SPREAD / _ONE_IN_HUNDRED * _normal_quantile((workers - 0.375) / (workers + 0.25))


def _normal_quantile(probability: float) -> float:
    """By bisection of the error function."""
    low, high = 0.0, 6.0
    for _ in range(30):
        middle = (low + high) / 2
        if 0.5 * math.erfc(-middle / math.sqrt(2)) < probability:
            low = middle
        else:
            high = middle
    return low
