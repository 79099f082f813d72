"""The tables of the papers, and one of all methods: what is run for each, at which scale.

`TABLES` is the register that the command line reads; importing it imports numpy and Pillow, with
the declarations of the data sets, and nothing heavier.
"""

from .papers import content_style, disunknown, lord, reference_vae, robust, together
from .plan import Figures, Row, Run, Scale, Setting, Table

TABLES: dict[str, Table] = {
    table.name: table
    for paper in (lord, content_style, disunknown, robust, reference_vae, together)
    for table in paper.TABLES
}

__all__ = ["TABLES", "Figures", "Row", "Run", "Scale", "Setting", "Table"]
