"""Who is told when a run has ended: a topic with an e-mail address, and the states that publish to it."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct


class Notification(Construct):
    """An encrypted topic to which one address is subscribed; AWS asks it for a confirmation first.

    Parameters
    ----------
    email
        The address.
    tls_only
        Whether the topic refuses plain HTTP.
    """

    def __init__(self, scope: Construct, construct_id: str, *, email: str, tls_only: bool) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(
            self,
            "RunEnded",
            # AWS' own key: every principal of the account that may publish may use it.
            master_key=kms.Alias.from_alias_name(self, "Key", "alias/aws/sns"),
            enforce_ssl=tls_only,
        )
        self.topic.add_subscription(subscriptions.EmailSubscription(email))


def notify(
    scope: Construct,
    name: str,
    topic: sns.ITopic | None,
    *,
    comment: str,
    status: str,
    text: str,
    values: Sequence[str],
    then: sfn.State,
) -> sfn.State:
    """Return a state that tells how a run has ended and goes on to ``then``, whether that worked or not.

    Parameters
    ----------
    topic
        Without one there is nobody to tell: ``then`` itself is returned.
    status
        For the subject, which SNS limits to 100 characters, of which a run's id may take 80.
    text, values
        The message: ``{}`` stands for the value at a JSONPath of the state's input.
    """
    if topic is None:
        return then
    state = {
        "Type": "Task",
        "Comment": comment,
        "Resource": f"arn:{cdk.Aws.PARTITION}:states:::sns:publish",
        "Parameters": {
            "TopicArn": topic.topic_arn,
            "Subject.$": f"States.Format('paytrain {{}} {status}', $.run_id)",
            "Message.$": f"States.Format('{text}', {', '.join(values)})",
        },
        "ResultPath": sfn.JsonPath.DISCARD,
    }
    told = sfn.CustomState(scope, name, state_json=state)
    told.add_retry(
        errors=["States.TaskFailed"],
        interval=cdk.Duration.seconds(1),
        backoff_rate=2,
        max_attempts=3,
        jitter_strategy=sfn.JitterType.FULL,
    )
    told.add_catch(then, errors=["States.ALL"], result_path="$.untold")
    told.next(then)
    return told
