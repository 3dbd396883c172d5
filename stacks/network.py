"""The private network in which workers meet the cache or the directory bucket: it costs nothing while idle."""

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from stacks.acknowledgements import acknowledge


class Network(Construct):
    """A VPC of isolated subnets, and the workers' security group.

    One zone: traffic between zones is billed and slower, and a run that is interrupted can be repeated.
    No NAT: S3 and DynamoDB are reached through gateway endpoints, which are free.

    Parameters
    ----------
    zone_id
        The zone's id (``use1-az4``); without one AWS chooses, and no directory bucket can be reached.
    """

    def __init__(self, scope: Construct, construct_id: str, *, zone_id: str | None) -> None:
        super().__init__(scope, construct_id)
        services = ec2.GatewayVpcEndpointAwsService
        endpoints = {"S3": services.S3, "DynamoDb": services.DYNAMODB}
        if zone_id is not None:
            endpoints["S3Express"] = services.S3_EXPRESS
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr("10.0.0.0/22"),
            max_azs=1,
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="workers", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=23)
            ],
            # Restricting the default group takes a custom resource; nothing here is a member of that group.
            restrict_default_security_group=False,
            gateway_endpoints={
                name: ec2.GatewayVpcEndpointOptions(service=service) for name, service in endpoints.items()
            },
        )
        if zone_id is not None:
            for subnet in self.vpc.isolated_subnets:
                resource = subnet.node.default_child
                assert isinstance(resource, ec2.CfnSubnet)
                # The account's name of the zone is not known; its id is the same in every account.
                resource.add_property_deletion_override("AvailabilityZone")
                resource.availability_zone_id = zone_id
        acknowledge(self.vpc, "VPC7", "Flow logs are billed by volume, and no route leads out of these subnets.")
        self.worker_security_group = ec2.SecurityGroup(
            self,
            "Workers",
            vpc=self.vpc,
            description="paytrain workers: nobody connects to them; routes lead to the cache, S3 and DynamoDB only",
            allow_all_outbound=True,
        )
