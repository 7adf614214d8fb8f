"""Pages: plain functions, one module for a page family. They ask a service once and compute nothing."""
