"""A picture of the user's own: what a model sees of it, and the completion pasted back.

picture.py   the picture at its own size and at the model's
framing.py   strokes on plain paper: where they are, and how light paper and ink are
typical.py   what the images of a model are like, to say if a picture is unlike them
any_size.py  a picture completed at its own size, by a model for pictures of any size
"""

from pixelrnn.own_picture.picture import OwnPicture, from_file

__all__ = ["OwnPicture", "from_file"]
