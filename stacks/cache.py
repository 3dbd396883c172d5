"""The Memcached cluster through which workers inside the VPC exchange gradients, or the place for one."""

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticache as elasticache
from constructs import Construct

from stacks.acknowledgements import acknowledge

PORT = 11211
_ENGINE_VERSION = "1.6.22"
_MIB = 2**20


class Cache(Construct):
    """A place for clusters that admit the workers and nobody else; nothing in it costs anything without a cluster.

    Parameters
    ----------
    vpc, worker_security_group
        Where the workers are, and the group that marks them.
    node_type, nodes
        What is paid for, by the hour, whether it is used or not.
    item_mb
        Largest item, MiB.
    provisioned
        Whether there is a cluster as long as the stack; if not, every run that needs one makes its own.
    tags
        Of the clusters that runs make; CloudFormation tags the provisioned one.
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
        provisioned: bool,
        tags: Mapping[str, str],
    ) -> None:
        super().__init__(scope, construct_id)
        self.item_bytes = item_mb * _MIB
        self._node_type = node_type
        self._nodes = nodes
        self._tags = tags
        # The low-level construct keeps the rules inside the group, without a resource for each.
        self._group = ec2.CfnSecurityGroup(
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
        self._subnets = elasticache.CfnSubnetGroup(
            self,
            "Subnets",
            description="paytrain workers' subnets",
            subnet_ids=vpc.select_subnets(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED).subnet_ids,
        )
        self._parameters = elasticache.CfnParameterGroup(
            self,
            "Parameters",
            cache_parameter_group_family="memcached1.6",
            description="paytrain: large items",
            properties={"max_item_size": str(self.item_bytes)},
        )
        self.endpoint = self._provisioned() if provisioned else ""
        """``host:port`` of the configuration endpoint, which lists the nodes; empty if none is provisioned."""

    def of_a_run(self) -> dict[str, Any]:
        """Return what CreateCacheCluster is told of a cluster in this place, but for its id and tags."""
        return {
            "Engine": "memcached",
            "EngineVersion": _ENGINE_VERSION,
            "CacheNodeType": self._node_type,
            "NumCacheNodes": self._nodes,
            "Port": PORT,
            "CacheSubnetGroupName": self._subnets.ref,
            "CacheParameterGroupName": self._parameters.ref,
            "SecurityGroupIds": [self._group.attr_group_id],
        }

    def tags(self) -> list[dict[str, str]]:
        """Return the tags of every cluster in this place, as the API has them."""
        return [{"Key": key, "Value": value} for key, value in self._tags.items()]

    def groups(self) -> dict[str, str]:
        """Return the names of what a cluster is made with, by kind: IAM asks for them, too."""
        return {"subnetgroup": self._subnets.ref, "parametergroup": self._parameters.ref}

    def _provisioned(self) -> str:
        cluster = elasticache.CfnCacheCluster(
            self,
            "Cluster",
            engine="memcached",
            engine_version=_ENGINE_VERSION,
            cache_node_type=self._node_type,
            num_cache_nodes=self._nodes,
            az_mode="single-az",
            port=PORT,
            cache_subnet_group_name=self._subnets.ref,
            cache_parameter_group_name=self._parameters.ref,
            vpc_security_group_ids=[self._group.attr_group_id],
        )
        acknowledge(cluster, "AEC5", "Another port hides nothing: the security group admits the workers only.")
        address = cluster.attr_configuration_endpoint_address
        return cdk.Fn.join(":", [address, cluster.attr_configuration_endpoint_port])
