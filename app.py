"""The CDK app: reads the settings, builds the stack."""

import sys

import aws_cdk as cdk

from paytrain.errors import PaytrainError
from stacks.paytrain_stack import PaytrainStack
from stacks.settings import read_settings


def main() -> None:
    """Synthesise the stack that the context asks for, or say in one sentence why not."""
    app = cdk.App()
    try:
        settings = read_settings(app.node.get_all_context())
        PaytrainStack(app, f"paytrain-{settings.stage}", settings=settings)
    except PaytrainError as error:
        sys.exit(str(error))
    app.synth()


if __name__ == "__main__":
    main()
