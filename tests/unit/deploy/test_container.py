"""What image and compose file promise: nothing runs as root, what they name exists, and settings are settings."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stream_app.settings import ENVIRONMENT_PREFIX, Settings

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_worker_does_not_run_as_root_and_gets_its_signals_itself():
    final = DOCKERFILE.rsplit("FROM ", 1)[1]
    assert re.search(r"^USER [1-9]\d*$", final, re.MULTILINE)
    assert re.search(r'^CMD \["stream-app", "worker"\]$', final, re.MULTILINE)
    assert "/health/live" in final


def test_what_the_image_copies_is_in_the_build_context():
    sources = [
        name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()
    ]
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert set(sources) == sent
    assert [name for name in sources if not (ROOT / name).exists()] == []


def test_the_variables_of_image_and_compose_file_are_settings():
    given = set(re.findall(rf"{ENVIRONMENT_PREFIX}[A-Z_]+", DOCKERFILE))
    given |= {name for name in COMPOSE["services"]["worker"]["environment"] if name.startswith(ENVIRONMENT_PREFIX)}
    assert {name.removeprefix(ENVIRONMENT_PREFIX).lower() for name in given} <= set(Settings.model_fields)


def test_the_port_of_the_worker_is_the_same_everywhere():
    port = Settings.model_fields["web_port"].default
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert scraped["dns_sd_configs"][0]["port"] == port
    assert f"EXPOSE {port}\n" in DOCKERFILE
    assert COMPOSE["services"]["worker"]["ports"][0].endswith(f":{port}")


def test_mounted_files_exist_and_ports_are_open_on_this_machine_alone():
    for service in COMPOSE["services"].values():
        binds = [volume.split(":")[0] for volume in service["volumes"] if volume.startswith("./")]
        assert [bind for bind in binds if bind != "./build/models" and not (ROOT / bind).exists()] == []
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_every_image_is_of_a_stated_version():
    images = [service["image"] for service in COMPOSE["services"].values()] + re.findall(
        r"^FROM (\S+)", DOCKERFILE, re.MULTILINE
    )
    assert [image for image in images if not re.search(r":[\w.-]+$", image) or image.endswith(":latest")] == []


def test_the_pinned_requirements_satisfy_the_declared_ones():
    optional = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
    assert unsatisfied(PROJECT["dependencies"], "requirements.txt") == []
    assert unsatisfied([*PROJECT["dependencies"], *optional], "requirements-dev.txt") == []


def test_pins_hold_no_address_and_none_of_the_packages_of_the_cuda_build():
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert "--" not in text
        assert not re.search(r"^(nvidia|cuda|triton)", text, re.MULTILINE), "add it to NOT_PINNED in the Makefile"


def unsatisfied(declared: list[str], file: str) -> list[str]:
    """Declared requirements that no pin in the file meets."""
    pins: dict[str, set[str]] = {}
    for line in (ROOT / file).read_text().splitlines():
        name, version = line.split(" ;")[0].split("==")
        pins.setdefault(canonicalize_name(name), set()).add(version.strip())
    wanted = map(Requirement, declared)
    return [
        str(requirement)
        for requirement in wanted
        if not pins.get(canonicalize_name(requirement.name))
        or not all(requirement.specifier.contains(pin) for pin in pins[canonicalize_name(requirement.name)])
    ]


def test_the_page_of_the_composed_system_has_a_token_or_says_how_to_get_one():
    given = COMPOSE["services"]["worker"]["environment"]["STREAM_APP_WEB_TOKEN"]
    assert given.startswith("${STREAM_APP_WEB_TOKEN:?")
    assert "openssl rand -hex 16" in given
    assert "STREAM_APP_WEB_TOKEN=" not in DOCKERFILE.rsplit("FROM ", 1)[1], "an image must not hold a secret"
