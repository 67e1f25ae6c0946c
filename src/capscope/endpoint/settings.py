"""Settings of an endpoint, checked before anything is sent: address, key, proxies, certificates."""

import math
import os
import re
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from capscope.errors import EndpointError

DEFAULT_URL = "https://api.openai.com/v1"
SECRET_SHAPES = re.compile(r"(?:\bsk-[\w*-]{4,}|\bBearer\s+\S+|(?<=://)[^/\s@]+:[^/\s@]+(?=@))", re.IGNORECASE)
LONGEST_MESSAGE = 300
SHORTEST_SECRET = 6
"""Placeholders such as ``none`` are no secrets; replacing them would garble words."""
PROXIES = ("ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
HEADER_VARIABLES = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
"""Variables that the client's library sends along."""
LARGEST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class EndpointSettings:
    """Where to ask, and how patiently.

    Raises:
        EndpointError: The address is no address, the key holds a character that no HTTP header takes, or a number is
            out of range.
    """

    base_url: str = DEFAULT_URL
    """Address up to and including the version: ``http://localhost:8000/v1``."""
    api_key: str = field(default="", repr=False)
    """The key; it is never written anywhere."""
    concurrency: int = 8
    """Calls in flight at once."""
    timeout: float = 120.0
    """Seconds for one whole call, from sending it to the last byte of its answer."""
    max_attempts: int = 6
    """Calls made for one question in one run before it counts as failed."""
    longest_wait: float = 300.0
    """Seconds of Retry-After that are waited for; a longer one fails the question."""
    first_pause: float = 0.5
    """Seconds before the second attempt where the endpoint names none; doubled each time."""
    largest_body: int = 32_000_000
    """Bytes of an answer, unpacked, beyond which it is not read."""

    def __post_init__(self) -> None:
        """Check address, key and numbers."""
        _refuse_address(self.base_url)
        _refuse_key(self.api_key)
        for name, value in (("concurrency", self.concurrency), ("attempts", self.max_attempts)):
            if value < 1:
                raise EndpointError(f"{name} is {value}; give a whole number of at least 1")
        if not 0 < self.timeout < math.inf:
            raise EndpointError(f"timeout is {self.timeout}; give seconds above 0")

    @classmethod
    def from_environment(
        cls,
        base_url: str | None = None,
        *,
        concurrency: int = 8,
        timeout: float = 120.0,
        max_attempts: int = 6,
    ) -> "EndpointSettings":
        """Take the key and, unless given, the address from OPENAI_API_KEY and OPENAI_BASE_URL.

        Args:
            base_url: The address; None takes it from the environment, else OpenAI's.
            concurrency: Calls in flight at once.
            timeout: Seconds for one whole call.
            max_attempts: Calls made for one question.

        Raises:
            EndpointError: The address is OpenAI's and there is no key, or one of the two is not valid.
        """
        url = (base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL).strip()
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not key and url.startswith(DEFAULT_URL):
            raise EndpointError("OPENAI_API_KEY is not set; set it, or name another endpoint with --base-url")
        url = url.rstrip("/").removesuffix("/chat/completions")
        return cls(base_url=url, api_key=key, concurrency=concurrency, timeout=timeout, max_attempts=max_attempts)

    @property
    def shown_url(self) -> str:
        """Return the address without a password in it."""
        return redact(self.base_url, self.api_key)


def redact(text: str, secret: str = "") -> str:
    """Return one short line without the secret, or anything shaped like a key or a password in an address.

    Args:
        text: An endpoint's message.
        secret: The key in use; endpoints quote it, some of them with its middle starred out.
    """
    line = " ".join(SECRET_SHAPES.sub("[key]", without_key(text, secret)).split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 3] + "..."


def without_key(text: str, secret: str) -> str:
    """Return a text in which the key in use is replaced; nothing else changes.

    Args:
        text: The text.
        secret: The key; shorter than `SHORTEST_SECRET` characters, it is not looked for.
    """
    return text.replace(secret, "[key]") if len(secret) >= SHORTEST_SECRET else text


@contextmanager
def connecting() -> Generator[None]:
    """Turn what fails while an HTTP client is made into one line that names the setting of the environment.

    Raises:
        EndpointError: A proxy or a certificate file cannot be used.
    """
    _refuse_header_variables()
    try:
        yield
    except EndpointError:
        raise
    except (ssl.SSLError, OSError) as error:
        raise EndpointError(f"{_certificates()}: {_reason(error)}; correct the path, or unset it") from None
    except ImportError as error:
        raise EndpointError(f"{_proxy('socks')}: {_reason(error)}; or unset it") from None
    except Exception as error:  # The client's own types differ between its versions.
        raise EndpointError(f"{_proxy('')}: {_reason(error)}; correct it, or unset it") from None


def proxy_hint() -> str:
    """Return which proxy setting the calls go through, for messages; empty without one."""
    names = [name for name in PROXIES if os.environ.get(name)]
    return f" (through the proxy that {names[0]} names)" if names else ""


def _refuse_address(url: str) -> None:
    shown = redact(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise EndpointError(f"{shown}: no valid address ({error}); correct --base-url or OPENAI_BASE_URL") from None
    if parts.scheme not in ("http", "https") and "://" in url:
        raise EndpointError(f"{shown}: the address starts with neither http:// nor https://; correct --base-url")
    if parts.scheme not in ("http", "https"):
        raise EndpointError(f"{shown}: the address lacks http:// or https://; write --base-url http://{shown}")
    if not parts.hostname or port == 0 or any(letter.isspace() or not letter.isprintable() for letter in url):
        raise EndpointError(f"{shown}: no valid address; write it like http://localhost:8000/v1")


def _refuse_header_variables() -> None:
    """Refuse variables of the client's library that no HTTP header takes."""
    for name in HEADER_VARIABLES:
        if not all("!" <= letter <= "~" for letter in os.environ.get(name, "")):
            raise EndpointError(f"{name}: holds a space, a line break or a letter that no header takes; correct it")


def _refuse_key(key: str) -> None:
    odd = [place for place, letter in enumerate(key, 1) if not "!" <= letter <= "~"]
    if odd:
        raise EndpointError(
            f"OPENAI_API_KEY: character {odd[0]} is a space, a line break or a letter that no key holds;"
            " copy the key again"
        )


def _proxy(start: str) -> str:
    values = {name: os.environ.get(name, "") for name in PROXIES}
    chosen = next((name for name, value in values.items() if value and value.lower().startswith(start)), "")
    return f"{chosen}={redact(values[chosen])}" if chosen else "the endpoint's client cannot be made"


def _certificates() -> str:
    values = {name: os.environ.get(name, "") for name in CERTIFICATES}
    absent = next((name for name, value in values.items() if value and not os.path.exists(value)), "")
    chosen = absent or next((name for name, value in values.items() if value), "")
    return f"{chosen}={values[chosen]}" if chosen else "the endpoint's certificates"


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return redact(str(text))
