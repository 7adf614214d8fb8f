from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

from experiments.filequeue import Transport

CHECKOUT = Path(__file__).resolve().parents[2]
MESSAGES = 300
READERS = 3
# Takes messages until there have been none for a second, and prints what it got.
READER = """
import sys, queue
from tests.experiments.test_filequeue import connect
with connect(sys.argv[1]) as connection:
    box = connection.SimpleQueue("cells")
    while True:
        try:
            message = box.get(timeout=1)
        except queue.Empty:
            break
        print(message.payload["cell"])
        message.ack()
"""


def connect(folder: str | Path) -> Connection:
    Transport.global_state.clear()  # kombu remembers queues for the whole process, and each test has a new folder
    options: dict[str, Any] = {"polling_interval": 0.01}
    for name in ("data_folder_in", "data_folder_out", "processed_folder", "control_folder"):
        path = Path(folder) / ("messages" if name.startswith("data") else name)
        path.mkdir(exist_ok=True)
        options[name] = str(path)
    return Connection(transport="experiments.filequeue:Transport", transport_options=options)


def test_messages_come_out_in_the_order_they_went_in(tmp_path: Path) -> None:
    with connect(tmp_path) as connection, connection.SimpleQueue("cells") as box:
        for cell in range(20):
            box.put({"cell": cell})
        assert [box.get(timeout=1).payload["cell"] for _ in range(20)] == list(range(20))
        with pytest.raises(Empty):
            box.get(timeout=0.05)


def test_a_message_lies_in_our_folders_only_and_is_gone_when_it_is_taken(tmp_path: Path) -> None:
    with connect(tmp_path) as connection, connection.SimpleQueue("cells") as box:
        box.put({"cell": 1})
        assert len(list((tmp_path / "messages").iterdir())) == 1
        box.get(timeout=1).ack()
    assert list((tmp_path / "messages").iterdir()) == []
    assert list((tmp_path / "processed_folder").iterdir()) == []


def test_every_message_reaches_exactly_one_of_many_readers(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(tmp_path)],
            cwd=CHECKOUT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(READERS)
    ]
    with connect(tmp_path) as connection, connection.SimpleQueue("cells") as box:
        for cell in range(MESSAGES):
            box.put({"cell": cell})
    got: list[int] = []
    for reader in readers:
        output, errors = reader.communicate(timeout=60)
        assert errors == ""
        got += [int(line) for line in output.split()]
    assert sorted(got) == list(range(MESSAGES))
