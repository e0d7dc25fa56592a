"""What the App needs to draw clouds, and cuboids in them.

It draws a bare `.pcd` by its colours, black where it has none. So each cloud gets a scene file, a few hundred bytes that
name the cloud and how to draw it, in the field `scene_3d` that the App is told to draw from. `filepath` stays the cloud.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from swath.appearance.names import SCENE
from swath.appearance.samples import declare, not_overtaken, slice_of
from swath.formats.fo3d import scene_file
from swath.store.journal.lease import FENCE, Writer
from swath.store.scenes import KEY

if TYPE_CHECKING:
    from swath.workspace import Workspace


def show_clouds(workspace: Workspace, writer: Writer) -> None:
    """Gives every cloud that the App would draw black its scene file, where it has none, or one of another cloud."""
    scenes = workspace.scenes
    for channel in workspace.rig.clouds:
        query = {**slice_of(workspace, channel.name), KEY: {"$gt": ""}, "filepath": {"$regex": r"\.pcd$"}}
        docs = scenes.samples.find(query, {"_id": 0, KEY: 1, "filepath": 1, SCENE: 1})
        values = {}
        for doc in docs:
            cloud = Path(doc["filepath"])
            place = hashlib.blake2b(str(cloud).encode(), digest_size=6).hexdigest()
            target = workspace.home / "scenes_3d" / f"{cloud.stem}-{place}.fo3d"
            if not target.exists():
                scene_file(cloud, target)
            if doc.get(SCENE) != str(target):
                values[str(doc[KEY])] = {SCENE: str(target)}
        if values:
            declare(workspace, SCENE)
            scenes.write(channel.name, values, writer)


def show_cuboids(workspace: Workspace, writer: Writer) -> None:
    """Gives cuboids that swath wrote without one (until 0.2.0) the empty 2D box that FiftyOne's own have: see `labels.stored`."""
    lacks = {"bounding_box": {"$exists": False}}
    for channel in workspace.rig.clouds:
        for field in (channel.human, channel.golden, channel.opinions, channel.predictions):
            workspace.scenes.samples.update_many(
                {
                    **slice_of(workspace, channel.name),
                    f"{field}.detections": {"$elemMatch": lacks},
                    FENCE: {"$lte": writer.token},
                },
                {
                    "$set": {f"{field}.detections.$[one].bounding_box": [], FENCE: writer.token},
                    "$currentDate": {"last_modified_at": True},
                },
                array_filters=[{f"one.{name}": how for name, how in lacks.items()}],
            )
    not_overtaken(workspace, writer, "cuboids")
