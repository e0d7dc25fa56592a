"""What FiftyOne's App shows when it opens the dataset: colours, what is visible, the sidebar, clouds, the map of embeddings.

All of it is computed from the configuration, the rig, the fields there are and the batches; none of it is a record. What
somebody else has set in the App or in Python stays: swath writes what nobody has set, and what it wrote itself.

    colours         by class, that colour-blind people can tell apart; predictions in a lighter shade than labels
    sidebar         what is visible, and in which order; what is hidden comes last, folded; what a field is
    views           colours and descriptions of the saved views
    predictions     those at or above the operating threshold, in a field of their own
    clouds          scene files: the App draws a bare cloud without colours black on black
    settings        writes colours and sidebar, in one update
    embedding_map   the plane of most variance of the embeddings, for the panel Embeddings
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.appearance.clouds import show_clouds, show_cuboids
from swath.appearance.embedding_map import show_map
from swath.appearance.predictions import show_predictions
from swath.appearance.settings import configure
from swath.appearance.views import view_style
from swath.formats.fo3d import scene_file
from swath.store.journal.lease import Writer

if TYPE_CHECKING:
    from swath.workspace import Workspace

__all__ = ["configure", "scene_file", "show", "show_map", "show_predictions", "view_style"]


def show(workspace: Workspace, writer: Writer) -> None:
    """Brings the App's part of the dataset up to date; doing it again changes nothing. Costs what there is: a step that changed
    a part of it calls that part alone."""
    show_clouds(workspace, writer)
    show_cuboids(workspace, writer)
    show_predictions(workspace, writer)
    configure(workspace, writer)
    show_map(workspace, writer)
