"""FiftyOne's scene files (`.fo3d`): how its App draws a cloud. A bare `.pcd` without colours it draws black on black."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from swath.formats.files import write_atomic


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
