"""
Who serves maildrops: the POP3 server with the extended RETR.
"""
