"""A receiver in FastAPI that does the work of each timer once, whatever is repeated or crashes.

TIMER_SECRETS=whsec_… uvicorn fastapi_receiver:app --app-dir examples --port 9000
"""

import os
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from sqlalchemy import Column, MetaData, String, Table, create_engine, insert

from timer_client.receive import Call, NotVerified, Receiver
from timer_client.receive.sql import SqlSeen, seen_table

receiver = Receiver(*os.environ["TIMER_SECRETS"].split(","))
engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///receiver.db"))
metadata = MetaData()
seen = seen_table(metadata)
reminders = Table("reminders", metadata, Column("text", String(200), nullable=False))
metadata.create_all(engine)

app = FastAPI()


async def verified(request: Request) -> Call:
    """The call, checked as it came."""
    try:
        return receiver.verify(request.headers, await request.body())
    except NotVerified as error:
        raise HTTPException(401, str(error)) from None


@app.post("/reminders/{timer_id}", status_code=204)
def remind(call: Annotated[Call, Depends(verified)]) -> None:
    """The note of the call and its work are one transaction. What goes wrong is answered 500, and comes again."""
    with engine.begin() as connection:
        if SqlSeen(connection, seen).add(call.id):
            connection.execute(insert(reminders).values(text=call.json()["meta"]["text"]))
