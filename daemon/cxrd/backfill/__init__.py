"""Films in from an archive's past: asked for slice by slice, told to come by C-MOVE, taken by the listener."""
