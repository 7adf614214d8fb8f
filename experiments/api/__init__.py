"""The API: version 1 under /api/v1, described by its own OpenAPI document. Thin: services do the work."""
