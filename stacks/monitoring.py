"""Logs: one group per function and one for the state machine."""

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Construct


class Monitoring(Construct):
    """Makes log groups that forget.

    Parameters
    ----------
    prefix
        Of the groups' names, such as ``paytrain-dev``.
    retention_days
        One of the periods that CloudWatch offers.
    """

    def __init__(self, scope: Construct, construct_id: str, *, prefix: str, retention_days: int) -> None:
        super().__init__(scope, construct_id)
        self._prefix = prefix
        self._retention_days = retention_days

    def function_logs(self, function: str) -> logs.LogGroup:
        """Where a function writes."""
        return self._group(function, f"/{self._prefix}/{function}")

    def state_machine_logs(self) -> logs.LogGroup:
        """Where Step Functions writes; under this prefix AWS keeps one resource policy for all of them."""
        return self._group("state-machine", f"/aws/vendedlogs/states/{self._prefix}")

    def _group(self, construct_id: str, name: str) -> logs.LogGroup:
        group = logs.LogGroup(self, construct_id, log_group_name=name, removal_policy=cdk.RemovalPolicy.DESTROY)
        resource = group.node.default_child
        assert isinstance(resource, logs.CfnLogGroup)
        resource.retention_in_days = self._retention_days
        return group
