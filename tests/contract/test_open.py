"""Opening the channel that a plan names."""

import subprocess
import sys

import pytest


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("name", "opened", "unneeded"),
    [
        ("s3", "s3", "pymemcache"),
        ("s3express", "s3", "pymemcache"),
        ("dynamodb", "dynamodb", "pymemcache"),
        ("memcached", "memcached", "boto3"),
    ],
)
def test_only_the_clients_that_are_used_are_imported(name: str, opened: str, unneeded: str, cache: str) -> None:
    # Given a fresh interpreter, when it opens a channel
    program = (
        "import sys; from paytrain.channels.open import open_channel; from paytrain.plan import Plan;"
        f"plan = Plan.model_construct(channel={name!r}, item_bytes=16384, cache_endpoint={cache!r},"
        " express_bucket='b');"
        "channel = open_channel(plan, exchange_bucket='b', exchange_table='t');"
        f"print(type(channel).__name__.lower(), {unneeded!r} in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    # Then it is the right one, and the other library was left alone
    assert output == f"{opened}channel False\n"
