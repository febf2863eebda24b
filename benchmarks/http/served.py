"""The application that gunicorn serves for over_http.py: the contender named in the environment."""

from __future__ import annotations

import os

import idemkey
from contenders import wsgi_apps

application = wsgi_apps(idemkey.Store(os.environ["BENCH_REGION"]), os.environ["BENCH_REDIS"])[
    os.environ["BENCH_CONTENDER"]
]
