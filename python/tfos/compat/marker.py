"""Objects that stand between rows in a queue, for programs that read a queue themselves. DataFeed takes them out."""


class Marker:
    """Says something of the rows beside it, and is no row."""


class EndPartition(Marker):
    """The rows of a partition end here."""
