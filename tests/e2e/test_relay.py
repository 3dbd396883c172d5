"""Past the time limit: many laps give the bits of one, and no invocation is killed by its timeout."""

from typing import Any

import pytest

from paytrain.run import Checkpoint, Items, Start
from paytrain.store import Artifacts
from tests.e2e import small
from tests.e2e.deployment import LAP_SECONDS, Deployment, npz


@pytest.mark.parametrize(("wire", "sync_every"), [("float32", 1), ("int8", 1), ("float32", 5)])
def test_a_relay_of_laps_gives_the_bits_of_one_lap(
    main: Deployment, short: Deployment, tmp_path_factory: pytest.TempPathFactory, wire: str, sync_every: int
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
            wire=wire,
            sync_every=sync_every,
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
    assert {outcome.status for outcome in relay.table.all_outcomes()} == {"stopped", "finished"}
    so_far = [Start.model_validate(relay.table.get(Items.start(lap, 0))).usd for lap in range(relay.receipt["laps"])]
    progress = relay.table.get(Items.PROGRESS)
    assert progress is not None
    assert so_far[0] > 0, "Prepare has cost something"
    assert so_far == sorted(set(so_far)), "every lap costs something"
    assert so_far[-1] < min(progress["usd"], relay.receipt["usd"])
    assert max(spent.seconds for spent in relay.table.spent() if spent.function == "lap") < LAP_SECONDS

    # and what was saved before its last lap is deleted
    last = relay.table.get(Items.start(relay.receipt["laps"] - 1, 0))
    assert last
    kept = Artifacts(short.stack.artifacts_bucket).checkpoints(relay.run_id)
    assert min(kept, key=lambda checkpoint: checkpoint.step) == Checkpoint(**last["checkpoint"])
