"""`[kafka]` as librdkafka takes it, the same for Faust's client: the control plane comes in as the data plane does.

What Faust's client cannot do is refused, never left out in silence: half a worker on another line, or a certificate
that nobody checked, would be worse than no worker.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path

from faust.auth import Credentials, SASLCredentials, SSLCredentials

from stream_app.connection import MECHANISMS
from stream_app.kafka.clients import passed_through
from stream_app.settings import Settings, SettingsError


def credentials(settings: Settings) -> Credentials | None:
    """How Faust's client says who it is, and over what line; None where anybody may come in.

    Raises:
        SettingsError: Faust's client cannot do what is asked for, or a certificate or key cannot be read.
    """
    given = {name: str(value) for name, value in passed_through(settings).items()}
    protocol = given.get("security.protocol", "plaintext").lower()
    if protocol == "plaintext":
        return None
    line = _line(given) if protocol.endswith("ssl") else None
    if not protocol.startswith("sasl"):
        return SSLCredentials(line)
    mechanism = given.get("sasl.mechanism", given.get("sasl.mechanisms", "")).upper()
    if not mechanism:
        raise SettingsError(f"[kafka]: sasl.mechanism is not set: a worker takes {', '.join(MECHANISMS)}")
    name, password = given.get("sasl.username"), given.get("sasl.password")
    return SASLCredentials(username=name, password=password, ssl_context=line, mechanism=mechanism)


def _line(given: Mapping[str, str]) -> ssl.SSLContext:
    """TLS as librdkafka makes it: the authorities that are named or else the system's, and the host name checked."""
    authorities, own = given.get("ssl.ca.location"), given.get("ssl.certificate.location")
    folder = authorities if authorities is not None and Path(authorities).is_dir() else None
    try:
        context = ssl.create_default_context(
            cafile=None if folder else authorities, capath=folder, cadata=given.get("ssl.ca.pem")
        )
        if own is not None:
            context.load_cert_chain(own, given.get("ssl.key.location"), given.get("ssl.key.password", ""))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"[kafka]: a certificate or key cannot be used (ssl.*.location): {error}") from error
    context.check_hostname = given.get("ssl.endpoint.identification.algorithm", "https").lower() != "none"
    return context
