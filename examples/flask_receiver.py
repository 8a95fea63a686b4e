"""A receiver in Flask that does the work of each timer once, whatever is repeated or crashes.

TIMER_SECRETS=whsec_… flask --app examples/flask_receiver.py run --port 9000
"""

import os

from flask import Flask, request
from sqlalchemy import Column, MetaData, String, Table, create_engine, insert

from timer_client.receive import NotVerified, Receiver
from timer_client.receive.sql import SqlSeen, seen_table

receiver = Receiver(*os.environ["TIMER_SECRETS"].split(","))
engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///receiver.db"))
metadata = MetaData()
seen = seen_table(metadata)
reminders = Table("reminders", metadata, Column("text", String(200), nullable=False))
metadata.create_all(engine)

app = Flask(__name__)


@app.post("/reminders/<timer_id>")
def remind(timer_id: str) -> tuple[str, int]:
    """The note of the call and its work are one transaction. What goes wrong is answered 500, and comes again."""
    try:
        call = receiver.verify(request.headers, request.get_data())
    except NotVerified as error:
        return str(error), 401
    with engine.begin() as connection:
        if SqlSeen(connection, seen).add(call.id):
            connection.execute(insert(reminders).values(text=call.json()["meta"]["text"]))
    return "", 204
