"""What a channel raises besides the library's own errors and its client's."""

from paytrain.errors import PaytrainError


class ChannelError(PaytrainError):
    """The service behind a channel refused a request, and asking again will not help.

    Likely cause: a missing permission, a value larger than the service accepts, or throttling without end.
    """
