"""A receiver that is killed at the first attempt of a timer: as `meta` says, `before` its commit or `after` it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert

from timer_client.receive import Receiver
from timer_client.receive.sql import SqlSeen, seen_table

LISTENING, SECRET, DATABASE_URL = sys.argv[1:]

receiver = Receiver(SECRET)
engine = create_engine(DATABASE_URL)
metadata = MetaData()
seen = seen_table(metadata)
work = Table("work", metadata, Column("attempt", Integer))
metadata.create_all(engine)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        call = receiver.verify(self.headers, self.rfile.read(int(self.headers["Content-Length"])))
        dies = call.json()["meta"] if call.attempt == 1 else None
        with engine.begin() as connection:
            if SqlSeen(connection, seen).add(call.id):
                connection.execute(insert(work).values(attempt=call.attempt))
            if dies == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        if dies == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        self.send_response(204)
        self.end_headers()


server = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=int(LISTENING))
server.serve_forever()
