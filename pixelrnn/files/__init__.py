"""Files in and out.

atomic.py    files that are whole or not there, and the lock of a run's folder
pictures.py  pictures of the user's, read and written
masks.py     what a mask file hides
"""
