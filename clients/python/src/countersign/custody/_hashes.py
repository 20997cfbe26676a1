import hashlib

from countersign.custody._errors import NotALeaf

#: Length of a salt, bytes.
SALT_BYTES = 16


def leaf_hash(data: bytes) -> str:
    """The leaf hash of RFC 6962: SHA-256(0x00 || data), 64 lower-case hexadecimal digits."""
    return hashlib.sha256(b"\x00" + data).hexdigest()


def commitment(salt: bytes, text: str) -> str:
    """SHA-256(salt || text), 64 lower-case hexadecimal digits; ``salt`` is 16 bytes, ``text`` is hashed as UTF-8.

    Raises ``NotALeaf`` where the salt has another length or the text holds half of a surrogate pair.
    """
    if len(salt) != SALT_BYTES:
        raise NotALeaf("salt", f"{SALT_BYTES} bytes")
    try:
        return hashlib.sha256(salt + text.encode()).hexdigest()
    except UnicodeEncodeError:
        raise NotALeaf("text", "text that UTF-8 can hold") from None
