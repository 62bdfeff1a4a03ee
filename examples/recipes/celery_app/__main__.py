"""python -m celery_app: the reader beside the workers. Start one or more; they share the outcomes."""

import signal
import sys

from celery_app.reader import hand_over, reader
from headrace import HeadraceError

if __name__ == "__main__":
    try:
        with reader() as results:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: results.stop())
            hand_over(results)
    except HeadraceError as reason:
        print(reason, file=sys.stderr)
        sys.exit(reason.exit_code)
