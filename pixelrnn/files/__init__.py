"""Files.

atomic.py    write files that are complete or absent; lock a run's folder
pictures.py  read and write pictures, read mask files
"""
