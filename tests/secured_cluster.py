"""A real broker that nobody enters without a password over an encrypted line, and that allows nothing unasked."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from stream_app.embedded import node
from tests.faults.cluster import ACCESS_LISTS, Cluster, Entrance

ADMINISTRATOR, PASSWORD = "administrator", "the-tests-own"
MECHANISM = "SCRAM-SHA-512"
VALID_FOR = timedelta(days=1)


def properties(authority: Path, user: str, password: str) -> dict[str, str]:
    """What a client needs to come in, as librdkafka names it."""
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": MECHANISM,
        "sasl.username": user,
        "sasl.password": password,
        "ssl.ca.location": str(authority),
    }


def secured_cluster(folder: Path, wait_until: Callable[..., None]) -> tuple[Cluster, Path]:
    """One broker, not yet up, and the certificate of the authority that signed its own."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, broker = certificates(folder)
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    own = {
        **ACCESS_LISTS,
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:ANONYMOUS;User:{ADMINISTRATOR}",  # nobody is anonymous but on the controllers' listener
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": broker,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": authority,
        "sasl.enabled.mechanisms": MECHANISM,
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        f"listener.name.sasl_ssl.{MECHANISM.lower()}.sasl.jaas.config": (
            f'{login} username="{ADMINISTRATOR}" password="{PASSWORD}";'
        ),
    }
    entrance = Entrance(
        "SASL_SSL",
        properties(authority, ADMINISTRATOR, PASSWORD),
        ("--add-scram", f"{MECHANISM}=[name={ADMINISTRATOR},password={PASSWORD}]"),
    )
    return Cluster(folder / "nodes", 1, own, wait_until, entrance), authority


def certificates(folder: Path) -> tuple[Path, Path]:
    """An authority's certificate; a broker's key with the certificate that the authority signed."""
    authority, broker = folder / "authority.pem", folder / "broker.pem"
    signer, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = _name("authority")
    itself = _certificate(name, signer).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    identifier = x509.SubjectKeyIdentifier.from_public_key(signer.public_key())
    itself = itself.add_extension(usage, critical=True).add_extension(identifier, critical=False)
    authority.write_bytes(itself.issuer_name(name).sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address(node.HOST))])
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    its_own = _certificate(_name("broker"), key).issuer_name(name).add_extension(address, critical=False)
    signed = its_own.add_extension(issued_by, critical=False).sign(signer, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    broker.write_bytes(private + signed.public_bytes(Encoding.PEM))
    return authority, broker


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    return made.not_valid_before(now - VALID_FOR).not_valid_after(now + VALID_FOR)
