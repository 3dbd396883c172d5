"""The Memcached cluster through which workers inside the VPC exchange gradients."""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticache as elasticache
from constructs import Construct

from stacks.acknowledgements import acknowledge

PORT = 11211
_MIB = 2**20


class Cache(Construct):
    """A cluster that admits the workers and nobody else.

    Parameters
    ----------
    vpc, worker_security_group
        Where the workers are, and the group that marks them.
    node_type, nodes
        What is paid for, by the hour, whether it is used or not.
    item_mb
        Largest item, MiB.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        vpc: ec2.IVpc,
        worker_security_group: ec2.ISecurityGroup,
        node_type: str,
        nodes: int,
        item_mb: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self.item_bytes = item_mb * _MIB
        # The low-level construct keeps the rules inside the group, without a resource for each.
        group = ec2.CfnSecurityGroup(
            self,
            "SecurityGroup",
            vpc_id=vpc.vpc_id,
            group_description="paytrain cache: admits the workers",
            security_group_ingress=[
                ec2.CfnSecurityGroup.IngressProperty(
                    description="workers",
                    ip_protocol="tcp",
                    from_port=PORT,
                    to_port=PORT,
                    source_security_group_id=worker_security_group.security_group_id,
                )
            ],
            # Without any rule CloudFormation lets a group send everywhere; this one matches nothing.
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(
                    description="nowhere", ip_protocol="icmp", from_port=252, to_port=86, cidr_ip="255.255.255.255/32"
                )
            ],
        )
        subnets = elasticache.CfnSubnetGroup(
            self,
            "Subnets",
            description="paytrain workers' subnets",
            subnet_ids=vpc.select_subnets(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED).subnet_ids,
        )
        parameters = elasticache.CfnParameterGroup(
            self,
            "Parameters",
            cache_parameter_group_family="memcached1.6",
            description="paytrain: large items",
            properties={"max_item_size": str(self.item_bytes)},
        )
        self.cluster = elasticache.CfnCacheCluster(
            self,
            "Cluster",
            engine="memcached",
            engine_version="1.6.22",
            cache_node_type=node_type,
            num_cache_nodes=nodes,
            az_mode="single-az",
            port=PORT,
            cache_subnet_group_name=subnets.ref,
            cache_parameter_group_name=parameters.ref,
            vpc_security_group_ids=[group.attr_group_id],
        )
        acknowledge(self.cluster, "AEC5", "Another port hides nothing: the security group admits the workers only.")

    @property
    def endpoint(self) -> str:
        """``host:port`` of the configuration endpoint, which lists the nodes."""
        address = self.cluster.attr_configuration_endpoint_address
        return cdk.Fn.join(":", [address, self.cluster.attr_configuration_endpoint_port])
