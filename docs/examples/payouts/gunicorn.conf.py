"""Four prefork workers that share one store, opened before they are forked."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>

wsgi_app = "app:from_environment()"
bind = "unix:" + os.path.join(os.environ["PAYOUTS_FOLDER"], "socket")
worker_class = "gthread"
workers = 4
threads = 4
preload_app = True
graceful_timeout = 5
errorlog = os.path.join(os.environ["PAYOUTS_FOLDER"], "gunicorn.log")


def on_starting(_server):
    """Leave with the demo, however it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
