"""Log lines for people, or one JSON object a line for machines."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, final

LogFormat = Literal["text", "json"]
EXTRAS = ("request_id", "trace_id", "span_id", "route")


@final
class JsonLines(logging.Formatter):
    """A record as one JSON object: time (UTC), level, logger, process, message, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        said |= {name: value for name in EXTRAS if (value := getattr(record, name, ""))}
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def set_up(log_format: LogFormat) -> None:
    """Write the log of this process to stderr, from INFO on."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonLines() if log_format == "json" else text)
    root = logging.getLogger()
    for old in [each for each in root.handlers if type(each) is logging.StreamHandler]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
