"""The first masked call, driven end to end: service, sandbox, phones, agent's page, judges, report.

Standard library only. The modules are used by demo.py and by the end-to-end tests alike:
processes (programs and ports), service (configuration, sandbox, roles), phones, api (the agent's side), call (one call
from INVITE to BYE), judge (leak, trace of the mask, memory), report (report.html).
"""
