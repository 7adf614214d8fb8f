"""What programs talk to: the API, version 1 under /api/v1, and OFREP. Thin: services do the work."""
