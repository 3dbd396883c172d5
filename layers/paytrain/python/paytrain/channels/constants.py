"""Figures that the channels share: limits of the services, patience, polling."""

POLL_SECONDS = {"s3": 0.02, "s3express": 0.005, "dynamodb": 0.01, "memcached": 0.002}
"""About a fast answer's latency each: a miss on S3 and DynamoDB is paid for like a hit."""

CONNECTIONS = 32
"""Connections that a client keeps: at least as many as threads call a channel at once."""

EXPIRY_SECONDS = 6 * 3600
"""When DynamoDB and Memcached may forget an object that nobody deleted; far longer than any lap."""

CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 10
"""Without a byte from the service for so long, a request is given up and tried again."""

ATTEMPTS = 8
"""How often a request to AWS is made before its error is final: 15 to 60 s with botocore's backoff."""

MEMCACHED_ATTEMPTS = 3
"""How often a request to Memcached is made: a server that refuses a second fresh connection is gone."""

BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 5.0
"""First and longest pause of the retries that botocore does not make itself."""

DYNAMODB_ITEM_OVERHEAD_BYTES = 256
"""Of an item's size: attribute names, expiry and a key of under 200 characters with its part and chunk."""

MEMCACHED_ITEM_OVERHEAD_BYTES = 512
"""Of an item's size: memcached's header (up to 64 bytes), the key (up to 250) and the protocol's ends."""

DYNAMODB_BATCH_ITEMS = 100
"""Limit of BatchGetItem."""
DYNAMODB_BATCH_BYTES = 2 * 1024 * 1024
"""Asked for with one BatchGetItem, whose limit is 16 MB. Eight are under way at once, and while it is decoded an answer
takes four times its content (base64 in JSON, then text, then bytes); a unit costs the same in any batch."""

DYNAMODB_WRITE_UNIT_BYTES = 1024
DYNAMODB_READ_UNIT_BYTES = 4096
"""What one request unit pays for, rounded up per item (strongly consistent reads)."""
