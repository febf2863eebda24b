"""A target that calls the WSGI application as a server would."""

from __future__ import annotations

import io
import traceback

import wsgi_app
from inprocess import InProcess
from message import LOST, Answer


class Wsgi(InProcess):
    name = "wsgi"
    build = staticmethod(wsgi_app.protected)

    def exchange(self, request, pending):
        """Calls the application as a server would; a client that left is noticed when writing."""
        head = []

        def start_response(status, fields, exc_info=None):
            assert not head or exc_info, "start_response is called twice"
            head[:] = [int(status.split()[0]), list(fields)]
            return lambda data: self._heard(pending)

        result = None
        try:
            result = self.app_of(request)(environ(request), start_response)
            if pending and pending.left.is_set():
                return LOST
            body = b""
            for piece in result:
                self._heard(pending)
                body += piece
        except (Exception, SystemExit):
            traceback.print_exc()  # seen if the answer was not to be lost
            return LOST
        finally:
            if hasattr(result, "close"):
                result.close()
        return Answer(head[0], head[1], body)

    @staticmethod
    def _heard(pending):
        if pending:
            pending.heard.set()


def environ(request):
    """The variables; fields of one name are joined, as servers do."""
    variables = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "CONTENT_LENGTH": "" if request.chunked else str(len(request.body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.fields:
        variable = name.upper().replace("-", "_")
        variable = variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}"
        before = variables.get(variable)
        variables[variable] = value if before is None else f"{before},{value}"
    return variables
