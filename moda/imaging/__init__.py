"""Pictures in arrays: crop, drawing, warping, the renderer's condition image, framing. Nothing here opens a file."""
