from moda.animation import AnimationConfig as AnimationConfig
from moda.device import choose_device as choose_device
from moda.errors import ModaError as ModaError
from moda.media.audio import read_audio as read_audio
from moda.media.picture import read_picture as read_picture
from moda.media.video_writer import VideoWriter as VideoWriter
from moda.pipeline import Animator as Animator
from moda.representation import Motion as Motion
from moda.representation import Portrait as Portrait
from moda.tracking.driving import track_motion as track_motion
from moda.tracking.portrait import make_portrait as make_portrait

__version__: str
