"""Amazon S3."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.provider.rules.form import (
    REGIONAL,
    TAGGED,
    Field,
    Kind,
    Name,
    Rule,
    block,
    blocks,
    flag,
    integer,
    mapping,
    policy,
    text,
    texts,
)

BUCKET: Mapping[str, Field] = {
    **REGIONAL,
    "bucket": text(required=True, replaces=True),
    "expectedBucketOwner": text(replaces=True, local=True),
}
INLINE = "use the resource of its own (BucketVersioning, BucketPolicy, ...) instead; pulumi_aws deprecates it here"
INLINE_PROPERTIES = (
    "accelerationStatus",
    "acl",
    "corsRules",
    "grants",
    "lifecycleRules",
    "logging",
    "objectLockConfiguration",
    "policy",
    "replicationConfiguration",
    "requestPayer",
    "serverSideEncryptionConfiguration",
    "versioning",
    "website",
)
NOT_YET = "not done by this provider; use the official engine for it"

PUBLIC_ACCESS: Mapping[str, Field] = {
    "blockPublicAcls": flag(default=False),
    "blockPublicPolicy": flag(default=False),
    "ignorePublicAcls": flag(default=False),
    "restrictPublicBuckets": flag(default=False),
}
ENCRYPTION_RULE: Mapping[str, Field] = {
    "applyServerSideEncryptionByDefault": block(
        {
            "sseAlgorithm": text(required=True, aws="SSEAlgorithm", choices=("AES256", "aws:kms", "aws:kms:dsse")),
            "kmsMasterKeyId": text(aws="KMSMasterKeyID"),
        }
    ),
    "bucketKeyEnabled": flag(computed=True),
}
TRANSITION: Mapping[str, Field] = {"storageClass": text(required=True), "date": text(), "days": integer()}
NONCURRENT: Mapping[str, Field] = {"noncurrentDays": integer(required=True), "newerNoncurrentVersions": integer()}
SIZES: Mapping[str, Field] = {
    "objectSizeGreaterThan": integer(),
    "objectSizeLessThan": integer(),
    "prefix": text(),
}
LIFECYCLE_RULE: Mapping[str, Field] = {
    "id": text(required=True, aws="ID"),
    "status": text(required=True, choices=("Enabled", "Disabled")),
    "abortIncompleteMultipartUpload": block({"daysAfterInitiation": integer()}),
    "expiration": block({"date": text(), "days": integer(), "expiredObjectDeleteMarker": flag()}),
    "filter": block(
        {
            **SIZES,
            "and": block({**SIZES, "tags": mapping(pairs=("Key", "Value"))}),
            "tag": block({"key": text(required=True), "value": text(required=True)}),
        }
    ),
    "noncurrentVersionExpiration": block(NONCURRENT),
    "noncurrentVersionTransitions": blocks({**NONCURRENT, "storageClass": text(required=True)}, unordered=True),
    "prefix": text(),
    "transitions": blocks(TRANSITION, unordered=True),
}
OBJECT: Mapping[str, Field] = {
    **TAGGED,
    "bucket": text(required=True, replaces=True),
    "key": text(replaces=True),
    "bucketKeyEnabled": flag(computed=True),
    "cacheControl": text(),
    "checksumAlgorithm": text(local=True, choices=("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")),
    "content": text(local=True),
    "contentBase64": text(local=True),
    "contentDisposition": text(),
    "contentEncoding": text(),
    "contentLanguage": text(),
    "contentType": text(computed=True),
    "etag": text(computed=True),
    "forceDestroy": flag(default=False, local=True),
    "kmsKeyId": text(computed=True, aws="SSEKMSKeyId"),
    "metadata": mapping(),
    "serverSideEncryption": text(computed=True, choices=("AES256", "aws:kms", "aws:kms:dsse")),
    "source": Field(Kind.ASSET, local=True),
    "sourceHash": text(local=True),
    "storageClass": text(computed=True),
    "websiteRedirect": text(aws="WebsiteRedirectLocation"),
}

RULES: Mapping[str, Rule] = {
    "aws:s3/bucket:Bucket": Rule(
        {
            **TAGGED,
            "bucket": text(replaces=True),
            "bucketPrefix": text(replaces=True, local=True),
            "forceDestroy": flag(default=False, local=True),
            "objectLockEnabled": flag(replaces=True, computed=True),
        },
        outputs=("arn", "bucketDomainName", "bucketRegion", "bucketRegionalDomainName", "tagsAll"),
        name=Name(
            "bucket",
            63,
            r"(?!xn--|sthree-)[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]",
            "3 to 63 lower-case letters, digits, '.' and '-', beginning and ending with a letter or digit",
            prefix="bucketPrefix",
            lower=True,
        ),
        refused={
            **dict.fromkeys(INLINE_PROPERTIES, INLINE),
            "bucketNamespace": NOT_YET,
        },
    ),
    "aws:s3/bucketVersioning:BucketVersioning": Rule(
        {
            **BUCKET,
            "mfa": text(local=True),
            "versioningConfiguration": block(
                {
                    "status": text(required=True, choices=("Enabled", "Suspended", "Disabled")),
                    "mfaDelete": text(computed=True, aws="MFADelete", choices=("Enabled", "Disabled")),
                },
                required=True,
            ),
        }
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": Rule(
        {
            **REGIONAL,
            "bucket": text(required=True, replaces=True),
            **PUBLIC_ACCESS,
            "skipDestroy": flag(default=False, local=True),
        }
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": Rule(
        {
            **REGIONAL,
            "bucket": text(required=True, replaces=True),
            "rule": block(
                {
                    "objectOwnership": text(
                        required=True, choices=("BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced")
                    )
                },
                required=True,
            ),
        }
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": Rule(
        {
            **BUCKET,
            "rules": blocks(
                {**ENCRYPTION_RULE, "blockedEncryptionTypes": texts(computed=True, unordered=True)},
                required=True,
            ),
        }
    ),
    "aws:s3/bucketPolicy:BucketPolicy": Rule(
        {**REGIONAL, "bucket": text(required=True, replaces=True), "policy": policy(required=True)}
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": Rule(
        {
            **BUCKET,
            "rules": blocks(LIFECYCLE_RULE),
            "timeouts": block({"create": text(), "update": text()}, local=True),
            "transitionDefaultMinimumObjectSize": text(computed=True),
        }
    ),
    "aws:s3/bucketObjectv2:BucketObjectv2": Rule(
        OBJECT,
        outputs=("arn", "checksumSha256", "tagsAll", "versionId"),
        volatile=("checksumSha256", "etag", "versionId"),
        refused=dict.fromkeys(
            (
                "acl",
                "objectLockLegalHoldStatus",
                "objectLockMode",
                "objectLockRetainUntilDate",
                "overrideProvider",
            ),
            NOT_YET,
        ),
    ),
}
