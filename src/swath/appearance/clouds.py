"""What the App needs to draw clouds, and cuboids in them.

It draws a bare `.pcd` by its colours, black where it has none. So each cloud gets a scene file, a few hundred bytes that
name the cloud and how to draw it, in the field `scene_3d` that the App is told to draw from. `filepath` stays the cloud.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from swath.appearance.names import SCENE
from swath.appearance.samples import declare, not_overtaken, slice_of
from swath.formats.files import write_atomic
from swath.store.journal.lease import Writer
from swath.store.scenes import FENCE, KEY

if TYPE_CHECKING:
    from swath.workspace import Workspace


def scene_file(cloud: Path, target: Path) -> Path:
    """Writes a FiftyOne scene (`.fo3d`) that draws one cloud, coloured by height, from above and behind the sensor: x ahead,
    z up. The same cloud gives the same bytes. Nothing of the cloud is copied."""
    still = {"visible": True, "position": [0.0] * 3, "quaternion": [0.0, 0.0, 0.0, 1.0], "scale": [1.0] * 3}
    material = {"_type": "PointCloudMaterial", "shadingMode": "height", "customColor": "#ffffff"}
    points = {
        **{"_type": "PointCloud", "uuid": _uuid(cloud, "points"), "name": "cloud", **still, "children": []},
        **{"pcdPath": str(cloud), "centerGeometry": False, "flagForProjection": False},
        "defaultMaterial": {**material, "pointSize": 2.0, "attenuateByDistance": False, "opacity": 1.0},
    }
    lens = {"aspect": None, "up": "Z", "fov": 50.0, "near": 0.1, "far": 2000.0}
    scene = {
        **{"_type": "Scene", "uuid": _uuid(cloud, "scene"), "name": "Scene", **still, "children": [points]},
        **{"__FO3D_VERSION": "1.0", "lights": None, "background": None},
        "camera": {"position": [-18.0, 0.0, 14.0], "lookAt": [12.0, 0.0, -1.0], **lens},
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, json.dumps(scene).encode())
    return target


def _uuid(cloud: Path, part: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{part} of {cloud}"))


def show_clouds(workspace: Workspace, writer: Writer) -> None:
    """Gives every cloud that the App would draw black its scene file, where it has none, or one of another cloud."""
    scenes = workspace.scenes
    for channel in workspace.rig.clouds:
        query = {**slice_of(workspace, channel.name), KEY: {"$gt": ""}, "filepath": {"$regex": r"\.pcd$"}}
        docs = scenes.dataset._sample_collection.find(query, {"_id": 0, KEY: 1, "filepath": 1, SCENE: 1})
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
    """Gives cuboids an empty 2D box, as FiftyOne's own have: without one, the App's grid of a cloud slice is an error page."""
    lacks = {"bounding_box": {"$exists": False}}
    for channel in workspace.rig.clouds:
        for field in (channel.human, channel.golden, channel.opinions, channel.predictions):
            workspace.scenes.dataset._sample_collection.update_many(
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
