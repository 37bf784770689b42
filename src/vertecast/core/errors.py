"""The error tree. A message says value, limit, place and remedy; upper layers add the place with ``add_note``.

::

    VertecastError
    ├── InputError         a file or an option the user gave cannot be used
    ├── ParameterError     a parameter file or a value in it is refused
    ├── FrameError         points or transforms of different frames were mixed
    ├── GeometryError      the anatomy or the grid does not allow what was asked
    └── ConvergenceError   a solve did not reach its tolerance; ``report`` tells how far it came
"""


class VertecastError(Exception):
    """Root of every error this package raises on purpose."""


class InputError(VertecastError):
    """A file or an option the user gave cannot be used."""


class ParameterError(VertecastError):
    """A parameter file, or a value in it, is refused."""


class FrameError(VertecastError):
    """Points or transforms of different frames were mixed."""


class GeometryError(VertecastError):
    """The anatomy or the grid does not allow what was asked."""


class ConvergenceError(VertecastError):
    """A solve did not reach its tolerance."""

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report
