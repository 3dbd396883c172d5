"""Channels carry bytes between workers: S3, DynamoDB, Memcached. They know nothing of gradients."""
