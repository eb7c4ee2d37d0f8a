"""Motion in files of other programs: tables, ARKit's blendshapes, BVH, glTF (docs/motion_files.md)."""
