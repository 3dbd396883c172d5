"""Past the time limit: many laps give the bits of one, and no invocation is killed by its timeout."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e import small
from tests.e2e.deployment import Deployment, npz

LAP_SECONDS = 10


@pytest.fixture(scope="module")
def short(deployed: Callable[..., Deployment]) -> Deployment:
    """A stack whose workers are killed after seconds."""
    return deployed("short", worker_timeout_seconds=LAP_SECONDS, peer_timeout_seconds=8)


def test_a_relay_of_laps_gives_the_bits_of_one_lap(
    main: Deployment, short: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # given
    def job(deployment: Deployment) -> dict[str, Any]:
        train, validation = small.data()
        return small.job(
            deployment.upload("uploads/relay.keras", small.model_bytes(tmp_path_factory.mktemp("model"), "own_state")),
            deployment.upload("uploads/relay-train.npz", npz(*train)),
            deployment.upload("uploads/relay-validation.npz", npz(*validation)),
            epochs=80,
            channel="memcached",
        )

    in_one = main.run(job(main))

    # when
    relay = short.run(job(short))

    # then
    assert relay.receipt["weights_sha256"] == in_one.receipt["weights_sha256"]
    assert relay.text("history") == in_one.text("history")
    assert in_one.receipt["laps"] == 1
    assert relay.receipt["laps"] >= 4
    assert relay.receipt["attempts"] == relay.receipt["laps"], "no lap had to be tried again"
    outcomes = relay.table.all_outcomes()
    assert {outcome.status for outcome in outcomes} == {"stopped", "finished"}
    assert max(outcome.seconds["billed"] for outcome in outcomes) < LAP_SECONDS
