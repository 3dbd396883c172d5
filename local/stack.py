"""The deployed stack as a user of it sees it: its outputs, and clients for what they name."""

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.terminal import LocalError


class Stack:
    """A deployed stack, in the account or the twin that the environment points at.

    Parameters
    ----------
    name
        Of the CloudFormation stack.

    Raises
    ------
    LocalError
        When there is no such stack, or no way to ask for it.
    """

    def __init__(self, name: str) -> None:
        try:
            answer = boto3.client("cloudformation").describe_stacks(StackName=name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise LocalError(f"There is no stack {name} here: deploy it first.") from None
        except BotoCoreError as error:
            raise LocalError(f"AWS cannot be asked for the stack {name}: {error}") from None
        outputs = {output["OutputKey"]: output["OutputValue"] for output in answer["Stacks"][0].get("Outputs", [])}
        self.state_machine_arn = outputs["StateMachineArn"]
        self.artifacts_bucket = outputs["ArtifactsBucket"]
        self.run_table = outputs["RunTable"]
        self.s3 = boto3.client("s3")
        self.dynamodb = boto3.client("dynamodb")
        self.stepfunctions = boto3.client("stepfunctions")

    def execution_arn(self, run_id: str) -> str:
        """ARN of the execution with this name."""
        return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:')}:{run_id}"
