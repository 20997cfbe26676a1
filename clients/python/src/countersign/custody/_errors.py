class NotALeaf(ValueError):
    """The bytes are no leaf, or the event is no export of one. The message never repeats the refused value.

    ``field`` is where, with dots between parts (``charges.amount``; ``leaf``: the leaf as a whole), ``wanted`` what
    would fit there.
    """

    def __init__(self, field: str, wanted: str) -> None:
        super().__init__(f"{field} must be {wanted}")
        self.field = field
        self.wanted = wanted
