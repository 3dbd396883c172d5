"""Time and cost of a run, in parts that add up (docs/cost-model.md)."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from paytrain import facts
from paytrain.exchange.simulator.profile import Profile
from paytrain.memory import MB
from paytrain.planner import compute, prices, round_cost
from paytrain.planner.exchange import Exchange
from paytrain.planner.question import Cache, Choice, Deployment, JobFacts, elements
from paytrain.planner.round_time import RoundTimes
from paytrain.planner.span import ZERO, Span

_KNOWN = facts.read("service_profile")
_INVOKE = _KNOWN["lambda_invoke"]
_TRANSITION_SECONDS = _KNOWN["step_functions"]["standard_transition_ms"]["p50"] / 1e3
_COLD = _INVOKE["python_tf_container_cold_s"]
_CREATE = facts.read("limits")["elasticache_memcached"]["create_time_s"]["node"]
CREATE_SECONDS = Span(_CREATE[0], sum(_CREATE) / 2, _CREATE[1])
_COLD_RANGE = tuple(bound / _COLD["value"] for bound in _COLD["range"])
"""Times the expected."""
TRACE_SECONDS = Span(1.5, 3.0, 6.0)
"""Loading a model and tracing its step on one vCPU: seen on the laptop twin with the example."""
CONTROL_SECONDS = Span(0.5, 1.5, 4.0)
"""One small function: a cold start of Python with boto3, or a warm one."""
CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints within a lap."""
MARGIN_SECONDS = 2.0
"""Kept free at a lap's end."""
FORWARD = 1 / 3
"""Of a step: the backward pass takes twice as long as the forward pass."""
_TRANSITIONS_OF_RUN = 9
_TRANSITIONS_OF_LAP = 3
_WRITES_OF_WORKER, _GETS_OF_WORKER = 4, 5
"""Of a worker in a lap beside the exchange: claim and outcome in the run table; plan, model, data, checkpoint."""
_WATCH_SECONDS = 2.0
_FAST = 0.4
"""Of latencies, the quantile that no hop is faster than: it waits for the slowest of several."""

_EXCHANGE_RANGE = {"s3": (0.75, 1.5), "s3express": (0.75, 1.5), "dynamodb": (0.75, 1.4), "memcached": (0.6, 2.0)}
"""Times the expected: S3's median GET lay between 17.7 and 40.9 ms from run to run around 26.7; Memcached's latencies
are assumed; and the equations are right to a quarter (docs/cost-model.md)."""
_COMPUTE_RANGE = 0.93, 1.15
"""A step was measured on another function, and shares its machine with others."""


@dataclass(frozen=True)
class Estimate:
    """What a plan takes and costs.

    Attributes
    ----------
    laps, steps, rounds
        Counts.
    round_seconds, step_seconds
        One of each.
    seconds, usd
        By part.
    """

    choice: Choice
    laps: int
    steps: int
    rounds: int
    round_seconds: float
    step_seconds: float
    second_parts: Mapping[str, Span]
    usd_parts: Mapping[str, Span]

    @cached_property
    def seconds(self) -> Span:
        """From start to end."""
        return functools.reduce(Span.__add__, self.second_parts.values(), ZERO)

    @cached_property
    def usd(self) -> Span:
        """At list prices."""
        return functools.reduce(Span.__add__, self.usd_parts.values(), ZERO)


class Estimator:
    """Estimates plans of one job.

    Parameters
    ----------
    profile
        How fast the services are.
    """

    def __init__(self, job: JobFacts, deployment: Deployment, profile: Profile) -> None:
        self._job = job
        self._deployment = deployment
        self._profile = profile
        self._cold = Span.about(profile.worker_start, less=_COLD_RANGE[0], more=_COLD_RANGE[1])
        self._save = _save_seconds(job, profile)
        self._rounds = RoundTimes(profile)
        self._exchanges: dict[tuple[object, ...], Exchange] = {}
        self._known: dict[Exchange, tuple[float, float]] = {}
        self._hops: dict[str, tuple[float, float]] = {}
        self._fastest: dict[Exchange, float] = {}
        self._around: dict[tuple[int, int], tuple[float, float, float, float]] = {}
        self._usd_per_gb_second = prices.lambda_usd_per_gb_second(deployment.architecture)

    def exchange(self, choice: Choice) -> Exchange:
        """What a round of a plan exchanges: the gradient; after local steps weights and the optimizer's state."""
        cache, workers = choice.cache, choice.workers
        key = choice.channel, choice.pattern, workers, choice.wire, choice.sync_every, cache
        if key not in self._exchanges:
            values = elements(self._job, choice.sync_every)
            exchange = Exchange(choice.channel, choice.pattern, workers, values, choice.wire, metrics=self._job.metrics)
            if cache:
                exchange = replace(
                    exchange, node_type=cache.node_type, nodes=cache.nodes, cache_item_bytes=cache.item_bytes
                )
            self._exchanges[key] = exchange
        return self._exchanges[key]

    def round(self, choice: Choice) -> tuple[float, float]:
        """Seconds and dollars of the requests of one round."""
        exchange = self.exchange(choice)
        if exchange not in self._known:
            time = self._rounds.of(exchange)
            self._known[exchange] = time.seconds, round_cost.usd(round_cost.usage(exchange, time.in_vain))
        return self._known[exchange]

    def step_seconds(self, choice: Choice) -> float:
        """Of the slowest worker."""
        job = self._job
        step = compute.step_seconds(job.step_seconds, job.step_memory_mb, choice.memory_mb)
        return step * compute.straggler(choice.workers)

    def at_least(self, choice: Choice) -> tuple[float, float]:
        """Seconds and dollars of a plan at least: in one lap, with rounds as fast as latency and links allow."""
        return self._with_rounds(choice, self._fastest_round(choice), 0.0)

    def nearly(self, choice: Choice) -> tuple[float, float]:
        """The same with the rounds that are expected: more work, and hardly less than what is expected of the plan."""
        return self._with_rounds(choice, *self.round(choice))

    def _fastest_round(self, choice: Choice) -> float:
        """As if all ranks were lucky: the longest of latencies, requests' processor time, the link and the cache."""
        exchange = self.exchange(choice)
        if exchange in self._fastest:
            return self._fastest[exchange]
        network, vector = self._profile.network, exchange.vector_bytes
        hops, reads, vectors, vectors_of_all = _least(choice.pattern, choice.workers)
        latency, cpu_seconds = self._hop_seconds(choice.channel)
        at_least = max(hops * latency, reads * cpu_seconds, vectors * vector / network.function)
        if choice.cache:
            node = self._profile.node_base[choice.cache.node_type] * choice.cache.nodes
            at_least = max(at_least, vectors_of_all * vector / min(network.vpc, node))
        self._fastest[exchange] = at_least
        return at_least

    def _hop_seconds(self, channel: str) -> tuple[float, float]:
        """A fast put and a fast get after it; and the processor's part of a request."""
        if channel not in self._hops:
            service = self._profile.services[channel]
            self._hops[channel] = service.put.at(_FAST) + service.get.at(_FAST), service.cpu_seconds
        return self._hops[channel]

    def _with_rounds(self, choice: Choice, round_seconds: float, round_usd: float) -> tuple[float, float]:
        job = self._job
        per_epoch = math.ceil(job.samples / (choice.workers * job.batch_size))
        rounds = math.ceil(per_epoch / choice.sync_every) if choice.workers > 1 else 0
        step, in_lap, alone, around = self._beside_rounds(choice)
        train = job.epochs * (per_epoch * step + rounds * round_seconds)
        in_lap += train * (1 + self._save / CHECKPOINT_SECONDS)
        seconds = in_lap + around
        per_second = choice.memory_mb / 1024 * self._usd_per_gb_second
        usd = (in_lap * choice.workers + alone) * per_second + job.epochs * rounds * round_usd
        if choice.cache:
            lasts = Span.exactly(seconds + self._cache_seconds(choice).expected)
            return lasts.expected, usd + self._cache_usd(choice.cache, lasts).expected
        return seconds, usd

    def _beside_rounds(self, choice: Choice) -> tuple[float, float, float, float]:
        """Seconds: a step; beside training, the functions of a lap, Prepare and Finish, and all but the lap."""
        key = choice.workers, choice.memory_mb
        if key not in self._around:
            gang, load = self._gang_seconds(choice.workers), self._load_seconds(choice.memory_mb)
            in_lap = self._cold.expected + gang.expected + load.expected + self._save
            alone = self._single_seconds(choice).expected
            self._around[key] = self.step_seconds(choice), in_lap, alone, alone + self._control_seconds(1).expected
        return self._around[key]

    def estimate(self, choice: Choice) -> Estimate | str:
        """Time and cost of a plan; or why it cannot work."""
        job, timeout = self._job, self._deployment.worker_timeout_seconds
        step, save = self.step_seconds(choice), self._save
        round_seconds, round_usd = self.round(choice)
        load = self._load_seconds(choice.memory_mb)
        room = timeout - self._cold.expected - load.expected - save - MARGIN_SECONDS
        whole_round = choice.sync_every * step + round_seconds
        if whole_round > room:
            return f"a round takes {whole_round:,.0f} s, and a lap has room for {max(room, 0):,.0f} s"
        per_epoch = math.ceil(job.samples / (choice.workers * job.batch_size))
        steps = per_epoch * job.epochs
        rounds = math.ceil(per_epoch / choice.sync_every) * job.epochs if choice.workers > 1 else 0
        validation = self._validation_seconds(choice, step)
        train = steps * step + rounds * round_seconds + validation
        laps = max(1, math.ceil(train * (1 + save / CHECKPOINT_SECONDS) / (room - whole_round / 2)))
        saves = laps + train / CHECKPOINT_SECONDS
        less, more = _EXCHANGE_RANGE[choice.channel]
        lap_parts = {
            "start": (self._cold + self._gang_seconds(choice.workers)) + Span.exactly(0.06) * (laps - 1),
            "load": load * laps,
            "compute": Span.about(steps * step + validation, less=_COMPUTE_RANGE[0], more=_COMPUTE_RANGE[1]),
            "exchange": Span.about(rounds * round_seconds, less=less, more=more),
            "save": Span.about(saves * save, less=0.8, more=1.5),
        }
        single, control = self._single_seconds(choice), self._control_seconds(laps)
        cache = self._cache_seconds(choice)
        second_parts = {**lap_parts, "prepare and finish": single, "control": control, "cache": cache}
        usd_parts = self._usd(choice, lap_parts, single, laps, rounds * round_usd, second_parts)
        return Estimate(choice, laps, steps, rounds, round_seconds, step, second_parts, usd_parts)

    def _load_seconds(self, memory_mb: int) -> Span:
        """Data and model from S3, at the link's long-term speed but for the burst; then tracing."""
        network, size = self._profile.network, self._job.data_bytes + self._job.state_bytes
        burst = min(size, _KNOWN["lambda_network"]["burst_mb"] * 1e6)
        fast = burst / network.function_burst
        read = Span.about(fast + (size - burst) / network.function, less=0.9, more=2.0)
        return read + TRACE_SECONDS * compute.slowdown(compute.vcpus(memory_mb))

    def _gang_seconds(self, workers: int) -> Span:
        """Until all functions have begun: between the burst starts that were measured."""
        few, many = _INVOKE["burst_start_s"]["100_workers"], _INVOKE["burst_start_s"]["1000_workers_60pct_cold"]
        share = min(1.0, workers / 1000)
        expected = few["p50"] + share * (many["p50"] - few["p50"])
        return Span(expected / 2, expected, few["p99"] + share * (many["p99"] - few["p99"]))

    def _validation_seconds(self, choice: Choice, step: float) -> float:
        """Ends of epochs: every worker evaluates its part, and the metrics are exchanged once."""
        if not self._job.validation_samples:
            return 0.0
        batches = math.ceil(self._job.validation_samples / choice.workers / self._job.batch_size)
        latency = self._profile.services[choice.channel]
        return self._job.epochs * (batches * step * FORWARD + 2 * (latency.put.at(0.9) + latency.get.at(0.9)))

    def _single_seconds(self, choice: Choice) -> Span:
        """Prepare (a cold start, the data, some steps) and Finish (the same sandbox or another, the evaluation)."""
        job = self._job
        step = compute.step_seconds(job.step_seconds, job.step_memory_mb, choice.memory_mb)
        evaluated = math.ceil(job.validation_samples / job.batch_size) * step * FORWARD
        work = Span.about(4 * step + 3 * self._save + evaluated, less=0.8, more=1.4)
        return self._cold + self._load_seconds(choice.memory_mb) * 2 + work

    def _control_seconds(self, laps: int) -> Span:
        transitions = Span.about(
            (_TRANSITIONS_OF_RUN + _TRANSITIONS_OF_LAP * laps) * _TRANSITION_SECONDS, less=0.5, more=5
        )
        return CONTROL_SECONDS * (2 + laps) + transitions

    @staticmethod
    def _cache_seconds(choice: Choice) -> Span:
        return CREATE_SECONDS if choice.cache and choice.cache.mode == "per_execution" else ZERO

    def _usd(
        self,
        choice: Choice,
        lap_parts: Mapping[str, Span],
        single: Span,
        laps: int,
        exchange_usd: float,
        all_parts: Mapping[str, Span],
    ) -> dict[str, Span]:
        per_second = choice.memory_mb / 1024 * self._usd_per_gb_second
        in_lap = functools.reduce(Span.__add__, lap_parts.values(), ZERO)
        invocations = (choice.workers * laps + 4 + laps) * prices.lambda_usd_per_request()
        transitions = _TRANSITIONS_OF_RUN + laps * (_TRANSITIONS_OF_LAP + 2 * choice.workers)
        watched = choice.workers * in_lap.expected / _WATCH_SECONDS * prices.dynamodb_usd_per_read_unit()
        storage = (
            choice.workers
            * laps
            * (_WRITES_OF_WORKER * prices.dynamodb_usd_per_write_unit() + _GETS_OF_WORKER * prices.s3_usd_per_get())
            + laps * (2 + self._job.state_bytes / (16 * MB)) * prices.s3_usd_per_put()
        )
        parts = {
            "workers": in_lap * (choice.workers * per_second),
            "prepare and finish": single * per_second,
            "exchange requests": Span.about(exchange_usd, less=0.95, more=1.1),
            "states and storage": Span.exactly(
                invocations + transitions * prices.step_functions_usd_per_transition() + watched + storage
            ),
        }
        if choice.cache:
            parts["cache"] = self._cache_usd(choice.cache, functools.reduce(Span.__add__, all_parts.values(), ZERO))
        return parts

    @staticmethod
    def _cache_usd(cache: Cache, lasts: Span) -> Span:
        """For a run that lasts so many seconds."""
        if cache.mode == "per_execution":
            bounds = (lasts.low, lasts.expected, lasts.high)
            hours = Span(*(prices.billed_node_hours(cache.nodes, seconds) for seconds in bounds))
        else:
            hours = lasts * (cache.nodes / 3600)
        return hours * prices.cache_usd_per_node_hour(cache.node_type)


def _save_seconds(job: JobFacts, profile: Profile) -> float:
    """A checkpoint to S3."""
    if job.save_seconds is not None:
        return job.save_seconds
    s3 = profile.services["s3"]
    return s3.put.at(0.5) + job.state_bytes / s3.put_stream


@functools.cache
def _least(pattern: str, workers: int) -> tuple[int, int, float, float]:
    """Hops; frames and vectors that the busiest rank reads at least; vectors that all read at least."""
    peers, group = workers - 1, math.isqrt(workers)
    return {
        "all_gather": (1, peers, peers, workers * peers),
        "leader": (2, peers, peers, 2 * peers),
        "scatter_reduce": (2, 2 * peers, 2 * peers / workers, 2 * peers),
        "hierarchical": (4 if group > 1 else 2, 4 * (group - 1), peers / workers, peers),
    }[pattern]
