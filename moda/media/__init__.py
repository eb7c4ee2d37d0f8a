"""Pictures, video, sound and the trackers: the only package that imports cv2, mediapipe and imageio_ffmpeg."""
