"""Files.

arrays.py    images and masks of PIL, NumPy and torch, made tensors
atomic.py    write files that are complete or absent; lock a run's folder
pictures.py  read and write pictures, read mask files
"""
