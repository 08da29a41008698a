"""The bucket that the endpoint reads its bundle from, and the bundle."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from cloudmodel.program import policies
from cloudmodel.program.aws import asynchronous, capture
from cloudmodel.program.deployment import Deployment

ABORT_UPLOADS_DAYS = 7
KEEP_OLD_VERSIONS_DAYS = 30


class Storage(pulumi.ComponentResource):
    """`uris` are the bundles' addresses by their digests, `bundles` their objects: an archive, or the files of a large
    one, which the endpoint reads as they are. An existing bucket is used as it is; only bundles are put into it."""

    bucket: pulumi.Output[str]
    uris: dict[str, pulumi.Output[str]]
    bundles: dict[str, list[aws.s3.BucketObjectv2]]

    def __init__(
        self, deployment: Deployment, key_arn: pulumi.Output[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("cloudmodel:aws:Storage", "storage", None, opts)
        ready: list[pulumi.Resource] = []
        if deployment.settings.existing.bucket:
            self.bucket = pulumi.Output.from_input(deployment.settings.existing.bucket)
        else:
            self.bucket, ready = self._bucket(deployment, key_arn)
        self.uris, self.bundles = {}, {}
        for digest, bundle in deployment.bundles.items():
            self.bundles[digest] = [
                aws.s3.BucketObjectv2(
                    # By content: had it one name, the deletion of an old revision could take the very key in use.
                    f"bundle-{bundle.short}" + (f"/{name}" if name else ""),
                    bucket=self.bucket,
                    key=bundle.object_key + name,
                    source=pulumi.FileAsset(str(path)),
                    content_type="application/octet-stream" if name else "application/gzip",
                    server_side_encryption="aws:kms",
                    kms_key_id=key_arn,
                    bucket_key_enabled=True,
                    opts=pulumi.ResourceOptions(parent=self, depends_on=ready),
                )
                for name, path in bundle.objects.items()
            ]
            self.uris[digest] = pulumi.Output.concat("s3://", self.bucket, "/", bundle.object_key)
        first = deployment.variants[0].bundle.digest
        self.register_outputs({"bucket": self.bucket, "uri": self.uris[first]})

    def _bucket(
        self, deployment: Deployment, key_arn: pulumi.Output[str]
    ) -> tuple[pulumi.Output[str], list[pulumi.Resource]]:
        child = pulumi.ResourceOptions(parent=self)
        bucket = aws.s3.Bucket(
            "bucket",
            bucket=deployment.bucket_name,
            # What is in it can be uploaded again from the bundle store; a protected stack keeps it all the same.
            force_destroy=not deployment.settings.protect,
            tags=deployment.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=deployment.settings.protect),
        )
        name = bucket.bucket
        ownership = aws.s3.BucketOwnershipControls(
            "bucket-ownership", bucket=name, rule={"object_ownership": "BucketOwnerEnforced"}, opts=child
        )
        private = aws.s3.BucketPublicAccessBlock(
            "bucket-private",
            bucket=name,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        versioning = aws.s3.BucketVersioning(
            "bucket-versioning", bucket=name, versioning_configuration={"status": "Enabled"}, opts=child
        )
        encryption = aws.s3.BucketServerSideEncryptionConfiguration(
            "bucket-encryption",
            bucket=name,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": key_arn,
                    },
                    "bucket_key_enabled": True,
                }
            ],
            opts=child,
        )
        policy = aws.s3.BucketPolicy(
            "bucket-policy",
            bucket=name,
            policy=name.apply(lambda bucket: policies.tls_only(deployment, bucket)),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[private]),
        )
        aws.s3.BucketLifecycleConfiguration(
            "bucket-lifecycle",
            bucket=name,
            rules=[
                {
                    "id": "abort-uploads",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": ABORT_UPLOADS_DAYS},
                },
                {
                    "id": "expire-old-versions",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "noncurrent_version_expiration": {"noncurrent_days": KEEP_OLD_VERSIONS_DAYS},
                    "expiration": {"expired_object_delete_marker": True},
                },
                capture.lifecycle(deployment),
                *asynchronous.lifecycle(deployment),
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versioning]),
        )
        return name, [ownership, private, versioning, encryption, policy]
