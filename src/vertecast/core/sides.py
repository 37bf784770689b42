"""The patient's two sides, as an enum: left is +x in LPS and in every vertebral frame."""

from enum import Enum


class Side(Enum):
    """The patient's left or right, never the viewer's."""

    LEFT = "left"
    RIGHT = "right"

    @property
    def sign(self) -> int:
        """Sign of x on this side, in LPS and in the vertebral frame."""
        return 1 if self is Side.LEFT else -1

    @property
    def other(self) -> "Side":
        """The opposite side."""
        return Side.RIGHT if self is Side.LEFT else Side.LEFT

    def __str__(self) -> str:
        return self.value
