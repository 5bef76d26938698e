"""Decoding of stored media, for thumbnails and loudness: a program of its own, without any key.

`work` says what is asked and answered; `process` starts the program and is what the server imports;
`child`, `confinement` and `decoding` are the program.
"""
