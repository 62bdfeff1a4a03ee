"""The process: `uvicorn fastapi_app.main:app`, with as many workers as you like."""

import os

from fastapi_app.app import create_app
from fastapi_app.store import Store
from headrace import KafkaConnection

app = create_app(
    KafkaConnection(os.environ.get("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092")),
    Store(os.environ.get("EMAILS_DB", "emails.db")),
)
