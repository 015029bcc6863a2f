"""The service under demonstration: its configuration and secrets, the sandbox gateway, and the roles."""
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from .processes import DemoError, Program, children_of, command_line, free_port

GATEWAY = "127.0.0.1"  # where the service listens
CARRIER = "127.0.0.2"  # where the caller phone is
CENTRE = "127.0.0.3"   # where the agent phone is
RECORDER = "127.0.0.4"
ROLES = ("proxy", "vault", "gateway", "desk")
REPOSITORY = pathlib.Path(__file__).resolve().parents[3]

CONFIG = """\
log: {{ level: {log_level}, format: json }}
run: {{ user: {user} }}
sip:
  listen:
    - {{ transport: udp, address: "{gateway}:{sip_port}" }}
    - {{ transport: tcp, address: "{gateway}:{sip_port}" }}
  trunks:
    carrier: {{ allow: ["{carrier}"], target: "{carrier}:{carrier_port}" }}
    contact_centre: {{ allow: ["{centre}"], target: "{centre}:{agent_port}" }}
  crossing_headers: [X-Call-Reference]
  reference_header: X-Call-Reference
  calls_max: {calls_max}
media:
  address: "{gateway}"
  ports: "{rtp_first}-{rtp_last}"
  workers: {workers}
  tick_us: 5000
  lookahead_ms: {lookahead_ms}
  mode: {mode}
  engine: {engine}
  watch: {watch}
  masking_off: {masking_off}
recorder: {{ rtp: "{recorder}:{recorder_port}"{recording} }}
capture: {{ idle_s: 900, session_s: 1800, attempts_max: {attempts_max} }}
gateway:
  url: "https://{gateway}:{sandbox_port}"
  api_key_file: {state}/api.key
  ca_file: {certificates}/ca.pem
  sandbox: true
  create_timeout_ms: 5000
  charge_timeout_ms: 10000
  retries: 2
  retry_wait_ms: 200
desk:
  listen: "{gateway}:{desk_port}"
  certificate: {certificates}/server.pem
  key: {certificates}/server.key
  database: {state}/tonegate.db
  audit: {state}/audit.jsonl
  tokens:
    - {{ name: demo, file: {state}/page.token }}
{further}"""


class Service:
    """Sandbox and tonegate, from files to running roles. Use as a context manager."""

    def __init__(self, build, out, *, lookahead_ms=20, masking_off=False, attempts_max=3, mode="noise", engine="own",
                 watch=None, log_level="debug", calls_max=4, workers=0, is_recording=False,
                 further=lambda service: ""):
        self.build = pathlib.Path(build).resolve()
        self.out = pathlib.Path(out).resolve()
        # With masking off, the leak check shall hear the keys: somebody has to tell the watch to look away.
        watch = not masking_off if watch is None else watch
        self.options = dict(watch=str(watch).lower(), lookahead_ms=lookahead_ms, masking_off=str(masking_off).lower(),
                            attempts_max=attempts_max, mode=mode, engine=engine, log_level=log_level,
                            calls_max=calls_max, workers=workers)
        self.lookahead_ms = lookahead_ms
        self.further = further  # more of the configuration: it continues the desk's part
        self.is_recording = is_recording
        self.token = secrets.token_hex(24)
        self.state = None
        self.sandbox = None
        self.service = None
        self.is_root = os.geteuid() == 0
        self.user = "nobody" if self.is_root else pwd.getpwuid(os.geteuid()).pw_name

    def program(self, name):
        path = self.build / "bin" / name
        if not path.exists():
            raise DemoError(f"{path} is not built: ./dev build makes it")
        return str(path)

    # ---------------------------------------------------------------- files

    def write_secret(self, name, text):
        path = self.state / name
        path.write_text(text)
        path.chmod(0o600)
        self._hand_over(path)

    def _hand_over(self, path):
        """What the roles read must be the service user's own."""
        if self.is_root:
            entry = pwd.getpwnam(self.user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def _make_certificates(self):
        script = REPOSITORY / "gateway" / "sandbox" / "make_certificates.sh"
        made = subprocess.run([str(script), str(self.certificates)], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise DemoError(f"certificates could not be made: {made.stderr.strip()}")
        self._hand_over(self.certificates)
        for path in self.certificates.iterdir():
            self._hand_over(path)

    def prepare(self):
        self.out.mkdir(parents=True, exist_ok=True)
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="tonegate-demo-"))
        self._hand_over(self.state)
        self.certificates = self.state / "certificates"
        self._make_certificates()
        self.write_secret("api.key", "sk_test_" + secrets.token_hex(12))
        self.write_secret("page.token", self.token)
        both = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        self.sip_port = free_port(GATEWAY, both)
        self.carrier_port = free_port(CARRIER, both)
        self.agent_port = free_port(CENTRE, both)
        self.recorder_port = free_port(RECORDER, (socket.SOCK_DGRAM,), 4, even=True)
        self.desk_port = free_port(GATEWAY, (socket.SOCK_STREAM,))
        self.rtp_first = free_port(GATEWAY, (socket.SOCK_DGRAM,), 4 * self.options["calls_max"] + 16, even=True)

    def _recording(self):
        """The folder of the proxy's own recordings, as the configuration names it."""
        if not self.is_recording:
            return ""
        self.recordings = self.state / "recordings"
        self.recordings.mkdir()
        self._hand_over(self.recordings)
        return f", directory: {self.recordings}"

    def write_config(self):
        self.config = self.state / "tonegate.yaml"
        self.config.write_text(CONFIG.format(
            user=self.user, gateway=GATEWAY, carrier=CARRIER, centre=CENTRE, recorder=RECORDER,
            sip_port=self.sip_port, carrier_port=self.carrier_port, agent_port=self.agent_port,
            rtp_first=self.rtp_first, rtp_last=self.rtp_first + 4 * self.options["calls_max"] + 15,
            recorder_port=self.recorder_port, sandbox_port=self.sandbox_port, desk_port=self.desk_port,
            state=self.state, certificates=self.certificates, recording=self._recording(),
            further=self.further(self), **self.options))
        self._hand_over(self.config)

    # ---------------------------------------------------------------- life

    def _start_sandbox(self):
        self.sandbox = Program("sandbox gateway", [
            self.program("tonegate-sandbox"), "--listen", GATEWAY + ":0", "--certificate",
            str(self.certificates / "server.pem"), "--key", str(self.certificates / "server.key"), "--api-key-file",
            str(self.state / "api.key"), "--ledger", str(self.state / "ledger.jsonl")], self.out / "sandbox.log")
        line = self.sandbox.line(10)
        if not line or "listening on" not in line:
            raise DemoError(f"the sandbox gateway did not start (see {self.out / 'sandbox.log'})")
        self.sandbox_port = int(line.rsplit(":", 1)[1])

    def start(self):
        self.prepare()
        self._start_sandbox()
        self.write_config()
        self.start_service()

    def start_service(self):
        check = subprocess.run([self.program("tonegate"), "check", "--config", str(self.config)],
                               capture_output=True, text=True, check=False)
        if check.returncode != 0:
            raise DemoError(f"the demo's configuration was refused: {check.stderr.strip()}")
        log = self.log = self.out / "tonegate.log"
        log.write_bytes(b"")
        self.service = Program("tonegate", [self.program("tonegate"), "run", "--config", str(self.config)], log)
        end = time.monotonic() + 15
        while not self._is_up():
            if not self.service.is_alive() or time.monotonic() > end:
                raise DemoError(f"tonegate did not come up (see {log})")
            time.sleep(0.05)

    def _is_up(self):
        """Every role said READY: one that is killed before it ever was ends the service, and rightly."""
        if set(self.roles()) != set(ROLES):
            return False
        if self.options["log_level"] in ("debug", "info") and b"all roles are running" not in self.log.read_bytes():
            return False
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex((GATEWAY, self.desk_port)) == 0

    def roles(self):
        """Role name to process id, as the process table tells."""
        found = {}
        for pid in children_of(self.service.child.pid):
            words = [word.decode("utf-8", "replace") for word in command_line(pid)]
            for role in ROLES:
                if any(role in word for word in words[1:]) or (words and role in words[0].rsplit(":", 1)[-1]):
                    found[role] = pid
                    break
        return found

    def kill(self, role):
        """SIGKILL for one role; returns its process id."""
        pid = self.roles()[role]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_restarted(self, role, old_pid, timeout_s=5):
        """Seconds until the role is there again."""
        begun = time.monotonic()
        while time.monotonic() - begun < timeout_s:
            pid = self.roles().get(role)
            if pid and pid != old_pid:
                return time.monotonic() - begun
            time.sleep(0.01)
        raise DemoError(f"{role} was not restarted within {timeout_s} s")

    def stop(self):
        codes = {}
        for name, program in (("tonegate", self.service), ("sandbox", self.sandbox)):
            if program is not None:
                codes[name] = program.stop()
        if self.state is not None:
            for name in ("audit.jsonl", "ledger.jsonl"):
                if (self.state / name).exists():
                    shutil.copy(self.state / name, self.out / name)
            shutil.rmtree(self.state, ignore_errors=True)
            self.state = None
        return codes

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
