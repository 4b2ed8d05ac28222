"""What can go wrong with data, and how a learner is told."""

import errno


class DataError(Exception):
    """The data cannot be used; the message says why and what to do."""


class ChecksumError(DataError, ValueError):
    """A file is there but is not the one that the course was written with."""


class UnavailableError(DataError):
    """The data cannot be had here: no network, no place to keep it, or a full disk.

    Attributes
    ----------
    reason : str
        Why, in a few words and without a path of this machine.
    """

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


def disk_reason(error):
    """Say in a few words why the disk refused, without a path of this machine."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return "the disk is full"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return "the cache folder is not writable"
    return f"the cache folder cannot be used ({error.strerror or type(error).__name__})"
