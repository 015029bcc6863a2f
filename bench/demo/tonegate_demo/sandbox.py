"""The sandbox gateway's side: faults that it shall make."""
import base64
import http.client
import ssl
import urllib.parse

from .processes import DemoError
from .service import GATEWAY


class Sandbox:
    """Orders faults of the gateway of a running service."""

    def __init__(self, service):
        self.service = service
        self.context = ssl.create_default_context(cafile=str(service.certificates / "ca.pem"))
        key = (service.state / "api.key").read_text().strip()
        self.headers = {"Authorization": "Basic " + base64.b64encode((key + ":").encode()).decode(),
                        "Content-Type": "application/x-www-form-urlencoded"}

    def fault(self, **form):
        connection = http.client.HTTPSConnection(GATEWAY, self.service.sandbox_port, context=self.context, timeout=5)
        try:
            connection.request("POST", "/_sandbox/fault", urllib.parse.urlencode(form), self.headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise DemoError(f"the sandbox refused a fault: {answer.status}")
        finally:
            connection.close()
