"""DuckDB opened so that it reads the named files alone, installs nothing, and cannot be reconfigured."""

from collections.abc import Iterable
from pathlib import Path

import duckdb

from experiments.sources.duckdb_tables import allowed_paths

#: Memory DuckDB may take for itself; what does not fit is spilled to its temporary folder.
DUCKDB_MEMORY = "320MB"

#: Rows that DuckDB may have ready before they are asked for.
STREAM_BUFFER = "32MB"


def locked_connection(files: Iterable[Path], spill: str) -> duckdb.DuckDBPyConnection:
    """Open DuckDB for these files; ``spill`` is the folder for what does not fit into memory."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": DUCKDB_MEMORY,
            "temp_directory": spill,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    # Lets DuckDB work ahead while a batch is being scattered.
    connection.execute(f"SET streaming_buffer_size = '{STREAM_BUFFER}'")
    # Not the files' folders: DuckDB takes a folder's name for a pattern, and need not see the other files in it.
    connection.execute(f"SET allowed_paths = {allowed_paths(list(files))}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection
