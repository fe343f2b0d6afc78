"""The API: a router for each resource, all under `PREFIX`."""

PREFIX = "/api/v1"
